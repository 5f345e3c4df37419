/* Hash and compare values by type and content, where no user code can run.
 *
 * Plain values are of exactly these types: None, bool, int (of 64 bits), float (no NaN),
 * str, bytes and tuples of plain values. Frozen values are tuples of plain values and of
 * objects that are compared by identity: members of enums, and the classes of the values
 * that were frozen. Both are immutable.
 */
#ifndef CQRS_FAST_KEYS_H
#define CQRS_FAST_KEYS_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

/* The most bytes that the parts of tuples may have together, and levels of tuples. */
#define CQRS_KEY_BUDGET 4096
#define CQRS_KEY_ITEM 8
#define CQRS_KEY_DEPTH 8

typedef struct {
    uint64_t hash;          /* so far */
    uint64_t factor;        /* odd and secret, as is the first value of `hash` */
    int64_t budget;
    int by_identity;        /* frozen: any other type is compared by identity */
} cqrs_key_state;

/* Both halves of the product: every bit of `value` reaches every bit of the hash. */
static inline uint64_t cqrs_mix(uint64_t hash, uint64_t value, uint64_t factor) {
    unsigned __int128 product = (unsigned __int128)(hash ^ value) * factor;
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

/* An int of 64 bits; false: it is longer. */
static inline int cqrs_key_int(PyObject *value, int64_t *number) {
    int overflow = 0;
#if PY_VERSION_HEX >= 0x030c0000
    if (PyUnstable_Long_IsCompact((PyLongObject *)value)) {
        *number = PyUnstable_Long_CompactValue((PyLongObject *)value);
        return 1;
    }
#else
    Py_ssize_t size = Py_SIZE(value);
    if (size == 0) {
        *number = 0;
        return 1;
    }
    if (size == 1 || size == -1) {
        *number = size * (int64_t)((PyLongObject *)value)->ob_digit[0];
        return 1;
    }
#endif
    *number = PyLong_AsLongLongAndOverflow(value, &overflow);
    return overflow == 0;
}

static int cqrs_key_add_tuple(PyObject *value, cqrs_key_state *state, int depth);

/* Take in one value; false: it is not plain. `depth` is 0 for a field. */
static inline int cqrs_key_add(PyObject *value, cqrs_key_state *state, int depth) {
    PyTypeObject *type = Py_TYPE(value);
    uint64_t word;
    if (depth > 0 && (state->budget -= CQRS_KEY_ITEM) < 0) {
        return 0;
    }
    if (type == &PyUnicode_Type) {
        Py_hash_t hash = ((PyASCIIObject *)value)->hash;
        word = (uint64_t)(hash != -1 ? hash : PyUnicode_Type.tp_hash(value))
               ^ 0x2f6e90b3c5a1d847ULL;
        state->budget -= depth > 0 ? PyUnicode_GET_LENGTH(value) : 0;
    } else if (type == &PyLong_Type) {
        int64_t number;
        if (!cqrs_key_int(value, &number)) {
            return 0;
        }
        word = (uint64_t)number ^ 0x91c7a3e85d0b64f2ULL;
    } else if (value == Py_None) {
        word = 0x5be0cd19137e2179ULL;
    } else if (value == Py_True) {
        word = 0x1f83d9abfb41bd6bULL;
    } else if (value == Py_False) {
        word = 0xa54ff53a5f1d36f1ULL;
    } else if (type == &PyFloat_Type) {
        double number = PyFloat_AS_DOUBLE(value);
        if (number != number) {
            return 0;
        }
        memcpy(&word, &number, sizeof(word));
        word ^= 0xc83d7f1694e2ab50ULL;
    } else if (type == &PyBytes_Type) {
        word = (uint64_t)PyBytes_Type.tp_hash(value) ^ 0x6a09e667f3bcc908ULL;
        state->budget -= depth > 0 ? PyBytes_GET_SIZE(value) : 0;
    } else if (type == &PyTuple_Type) {
        return cqrs_key_add_tuple(value, state, depth);
    } else if (state->by_identity) {
        word = (uint64_t)(uintptr_t)value ^ 0x3c6ef372fe94f82bULL;
    } else {
        return 0;
    }
    state->hash = cqrs_mix(state->hash, word, state->factor);
    return 1;
}

static int cqrs_key_add_tuple(PyObject *value, cqrs_key_state *state, int depth) {
    Py_ssize_t size = PyTuple_GET_SIZE(value);
    if (depth >= CQRS_KEY_DEPTH && !state->by_identity) {
        return 0;
    }
    state->hash = cqrs_mix(
        state->hash, (uint64_t)size ^ 0xbb67ae8584caa73bULL, state->factor
    );
    for (Py_ssize_t index = 0; index < size; index++) {
        if (!cqrs_key_add(PyTuple_GET_ITEM(value, index), state, depth + 1)) {
            return 0;
        }
    }
    /* Closed too: ((1,), 2) and ((1, 2),) differ by more than their lengths. */
    state->hash = cqrs_mix(state->hash, 0x510e527fade682d1ULL, state->factor);
    return state->budget >= 0;
}

static int cqrs_key_same_inside(PyObject *one, PyObject *other);

/* Whether two plain or frozen values are the same, types included. */
static inline int cqrs_key_same(PyObject *one, PyObject *other) {
    PyTypeObject *type;
    if (one == other) {
        return 1;
    }
    /* A field that was deleted through its descriptor. */
    if (one == NULL || other == NULL) {
        return 0;
    }
    type = Py_TYPE(one);
    if (type != Py_TYPE(other)) {
        return 0;
    }
    if (type == &PyUnicode_Type) {
        Py_ssize_t length = PyUnicode_GET_LENGTH(one);
        int kind = PyUnicode_KIND(one);
        return length == PyUnicode_GET_LENGTH(other)
               && kind == (int)PyUnicode_KIND(other)
               && memcmp(PyUnicode_DATA(one), PyUnicode_DATA(other), length * kind) == 0;
    }
    if (type == &PyLong_Type) {
        int64_t left, right;
        return cqrs_key_int(one, &left) && cqrs_key_int(other, &right) && left == right;
    }
    if (type == &PyFloat_Type) {
        /* By their bits: 0.0 and -0.0 are equal, but a handler may distinguish them. */
        double left = PyFloat_AS_DOUBLE(one), right = PyFloat_AS_DOUBLE(other);
        return memcmp(&left, &right, sizeof(left)) == 0;
    }
    return cqrs_key_same_inside(one, other);
}

static int cqrs_key_same_inside(PyObject *one, PyObject *other) {
    Py_ssize_t size;
    if (PyBytes_CheckExact(one)) {
        size = PyBytes_GET_SIZE(one);
        return size == PyBytes_GET_SIZE(other)
               && memcmp(PyBytes_AS_STRING(one), PyBytes_AS_STRING(other), size) == 0;
    }
    if (!PyTuple_CheckExact(one)) {
        return 0;
    }
    size = PyTuple_GET_SIZE(one);
    if (size != PyTuple_GET_SIZE(other)) {
        return 0;
    }
    for (Py_ssize_t index = 0; index < size; index++) {
        PyObject *item = PyTuple_GET_ITEM(one, index);
        if (!cqrs_key_same(item, PyTuple_GET_ITEM(other, index))) {
            return 0;
        }
    }
    return 1;
}

static inline PyObject *cqrs_key_field(PyObject *message, Py_ssize_t offset) {
    return *(PyObject **)((char *)message + offset);
}

/* Take in the fields of a Struct; false: one of them is not plain. */
static inline int cqrs_key_add_fields(
    PyObject *message, const Py_ssize_t *offsets, int count, cqrs_key_state *state
) {
    for (int index = 0; index < count; index++) {
        PyObject *value = cqrs_key_field(message, offsets[index]);
        if (value == NULL || !cqrs_key_add(value, state, 0)) {
            return 0;
        }
    }
    return 1;
}

/* Whether two instances of one Struct class, all fields plain, hold the same. */
static inline int cqrs_key_same_fields(
    PyObject *one, PyObject *other, const Py_ssize_t *offsets, int count
) {
    for (int index = 0; index < count; index++) {
        if (!cqrs_key_same(cqrs_key_field(one, offsets[index]),
                           cqrs_key_field(other, offsets[index]))) {
            return 0;
        }
    }
    return 1;
}

#endif
