/* Check the nesting depth of a JSON text, which msgspec does not limit.
 *
 * A text with no more bytes or opening brackets than allowed levels cannot be too deep.
 * Any other text is scanned exactly, in blocks of 64 bytes if the processor has SSE2. The
 * decoder finds invalid JSON: it stops at the first bad byte, and up to there all scans
 * agree. */
#ifndef CQRS_JSON_DEPTH_H
#define CQRS_JSON_DEPTH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { CQRS_JSON_DEPTH = 64 };

/* Whether the first character after white space opens an array. */
static inline int cqrs_json_is_array(const unsigned char *text, size_t size) {
    size_t at = 0;
    while (at < size && (text[at] == ' ' || (text[at] >= '\t' && text[at] <= '\r'))) {
        at++;
    }
    return at < size && text[at] == '[';
}

/* Whether there are no more opening brackets than levels, those in strings included. */
static inline int cqrs_json_is_flat(const unsigned char *text, size_t size) {
    size_t at = 0, count = 0;
    if (size <= CQRS_JSON_DEPTH) {
        return 1;
    }
    while (at < size) {
        size_t end = size - at > 240 ? at + 240 : size;
        unsigned char part = 0;  /* a byte, so that the compiler counts 16 at a time */
        for (; at < end; at++) {
            part += (unsigned char)((text[at] | 0x20) == '{');
        }
        count += part;
        if (count > CQRS_JSON_DEPTH) {
            return 0;
        }
    }
    return 1;
}

/* One byte after the other: 1 where it is too deep. */
static int cqrs_json_deep_by_bytes(const unsigned char *text, size_t size) {
    size_t at = 0;
    int depth = 0;
    while (at < size) {
        unsigned char byte = text[at++];
        if (byte == '"') {
            while (at < size && text[at] != '"') {
                at += text[at] == '\\' ? 2 : 1;
            }
            at++;
        } else if (byte == '[' || byte == '{') {
            if (++depth > CQRS_JSON_DEPTH) {
                return 1;
            }
        } else if (byte == ']' || byte == '}') {
            depth--;
        }
    }
    return 0;
}

#if defined(__SSE2__)

static inline uint64_t cqrs_mask(const __m128i *block, char byte) {
    __m128i wanted = _mm_set1_epi8(byte);
    uint64_t mask = 0;
    for (int part = 0; part < 4; part++) {
        int found = _mm_movemask_epi8(_mm_cmpeq_epi8(block[part], wanted));
        mask |= (uint64_t)(uint32_t)found << (16 * part);
    }
    return mask;
}

static inline int cqrs_ones(uint64_t bits) {
    bits -= (bits >> 1) & 0x5555555555555555u;
    bits = (bits & 0x3333333333333333u) + ((bits >> 2) & 0x3333333333333333u);
    bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (int)((bits * 0x0101010101010101u) >> 56);
}

/* The bytes after an escaping backslash; `carry`: the first byte of the next block. */
static inline uint64_t cqrs_escaped(uint64_t slashes, uint64_t *carry) {
    uint64_t escaped = *carry, left = slashes & ~*carry;
    *carry = 0;
    while (left) {
        uint64_t one = left & (~left + 1), next = one << 1;
        if (next == 0) {
            *carry = 1;
            break;
        }
        escaped |= next;
        left &= ~(one | next);
    }
    return escaped;
}

/* Each bit becomes the parity of itself and all lower bits: inside a string or not. */
static inline uint64_t cqrs_inside(uint64_t quotes) {
    for (int shift = 1; shift < 64; shift *= 2) {
        quotes ^= quotes << shift;
    }
    return quotes;
}

static int cqrs_json_deep_by_blocks(const unsigned char *text, size_t size) {
    uint64_t within = 0, carry = 0;  /* all ones inside a string; 1: escaped */
    int depth = 0;
    unsigned char tail[64];
    for (size_t at = 0; at < size; at += 64) {
        const unsigned char *from = text + at;
        const __m128i low = _mm_set1_epi8(0x20);
        __m128i block[4];
        uint64_t quotes, slashes, strings, opens, closes;
        int more;
        if (size - at < 64) {
            memset(tail, ' ', 64);
            memcpy(tail, from, size - at);
            from = tail;
        }
        for (int part = 0; part < 4; part++) {
            block[part] = _mm_loadu_si128((const __m128i *)(from + 16 * part));
        }
        quotes = cqrs_mask(block, '"');
        slashes = cqrs_mask(block, '\\');
        for (int part = 0; part < 4; part++) {
            block[part] = _mm_or_si128(block[part], low);  /* [ is {, and ] is } */
        }
        opens = cqrs_mask(block, '{');
        closes = cqrs_mask(block, '}');
        if (slashes | carry) {
            quotes &= ~cqrs_escaped(slashes, &carry);
        }
        strings = cqrs_inside(quotes) ^ within;
        within = (uint64_t)0 - (strings >> 63);
        opens &= ~strings;
        closes &= ~strings;
        more = cqrs_ones(opens);
        if (depth + more <= CQRS_JSON_DEPTH) {
            depth += more - cqrs_ones(closes);
            continue;
        }
        for (uint64_t both = opens | closes, one; both; both ^= one) {
            one = both & (~both + 1);
            if (!(opens & one)) {
                depth--;
            } else if (++depth > CQRS_JSON_DEPTH) {
                return 1;
            }
        }
    }
    return 0;
}

#endif

/* Whether brackets nest deeper than CQRS_JSON_DEPTH levels. */
static inline int cqrs_json_is_deep(const unsigned char *text, size_t size) {
    if (cqrs_json_is_flat(text, size)) {
        return 0;
    }
#if defined(__SSE2__)
    return cqrs_json_deep_by_blocks(text, size);
#else
    return cqrs_json_deep_by_bytes(text, size);
#endif
}

#endif
