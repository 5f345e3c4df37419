/* Hold the depth scan by blocks to the one by bytes, and both to a count by hand.
 *
 *     json_depth [threads [operations [seed]]]
 *
 * One thread does it all. Ends with 1 and a line that says what was broken.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>

#include "cqrs_fast/payloads/json_depth.h"
#include "cqrs_fast/policies/core/random.h"

enum { MOST = 700 };

static void fail(const char *what, uint64_t seed) {
    fprintf(stderr, "json_depth: %s (seed %llu)\n", what, (unsigned long long)seed);
    exit(1);
}

/* Text of strings, brackets and other bytes, in which a backslash is always inside of a
   string; returns its size, and in `deepest` how deep it nests. */
static size_t make(cqrs_random *random, unsigned char *text, int *deepest) {
    static const char OTHERS[] = " ,:19at\n";
    static const char STRINGS[] = "a[]{}\\\"";
    uint64_t most = cqrs_random_bits(random) % (MOST - 4);
    uint64_t openness = 2 + cqrs_random_bits(random) % 6;
    size_t size = 0;
    int depth = 0;
    *deepest = 0;
    while (size < most) {
        uint64_t bits = cqrs_random_bits(random);
        uint64_t kind = (bits >> 8) % 8;
        if (kind == 0) {
            text[size++] = '"';
            for (uint64_t left = (bits >> 16) % 40; left && size < most; left--) {
                uint64_t more = cqrs_random_bits(random);
                char byte = STRINGS[more % 7];
                if (byte == '"' || byte == '\\') {
                    text[size++] = '\\';
                }
                text[size++] = (unsigned char)byte;
            }
            text[size++] = '"';
        } else if (kind < openness) {
            text[size++] = bits & 1 ? '[' : '{';
            if (++depth > *deepest) {
                *deepest = depth;
            }
        } else if (kind < 7) {
            text[size++] = bits & 1 ? ']' : '}';
            depth--;
        } else {
            text[size++] = (unsigned char)OTHERS[(bits >> 16) % 8];
        }
    }
    return size;
}

static void compare(const unsigned char *text, size_t size, int deepest, uint64_t seed) {
    int expected = deepest > CQRS_JSON_DEPTH;
    /* At its very end, so that a sanitizer sees a read beyond it. */
    unsigned char *copy = malloc(size ? size : 1);
    if (copy == NULL) {
        fail("no memory", seed);
    }
    memcpy(copy, text, size);
    if (cqrs_json_deep_by_bytes(copy, size) != expected) {
        fail("the scan by bytes is wrong", seed);
    }
#if defined(__SSE2__)
    if (cqrs_json_deep_by_blocks(copy, size) != expected) {
        fail("the scan by blocks is wrong", seed);
    }
#endif
    if (cqrs_json_is_deep(copy, size) != expected) {
        fail("the verdict is wrong", seed);
    }
    free(copy);
}

/* Exactly so many levels, after padding of every length up to a few blocks. */
static void borders(uint64_t seed) {
    unsigned char text[MOST];
    for (int levels = CQRS_JSON_DEPTH - 1; levels <= CQRS_JSON_DEPTH + 1; levels++) {
        for (size_t pad = 0; pad < 200; pad++) {
            memset(text, ' ', pad);
            memset(text + pad, '[', (size_t)levels);
            compare(text, pad + (size_t)levels, levels, seed);
        }
    }
    if (!cqrs_json_is_array((const unsigned char *)" \n[", 3)
        || cqrs_json_is_array((const unsigned char *)" {[", 3)
        || cqrs_json_is_array((const unsigned char *)"  ", 2)) {
        fail("an array is not known by its first character", seed);
    }
}

int main(int argc, char **argv) {
    long operations = argc > 2 ? atol(argv[2]) : 20000;
    uint64_t seed = argc > 3 ? (uint64_t)atoll(argv[3]) : 1;
    cqrs_random random = {seed};
    unsigned char text[MOST + 4];
    long deep = 0;
    borders(seed);
    for (long done = 0; done < operations; done++) {
        int deepest;
        size_t size = make(&random, text, &deepest);
        compare(text, size, deepest, seed);
        deep += deepest > CQRS_JSON_DEPTH;
    }
    if (operations >= 1000 && (deep == 0 || deep == operations)) {
        fail("all texts are of one kind", seed);
    }
    printf("json_depth: %ld texts, %ld of them too deep\n", operations, deep);
    return 0;
}
