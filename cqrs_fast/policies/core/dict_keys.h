/* Hash and equality of keys as dict has them, quick where keys are strings or small
 * integers.
 */
#ifndef CQRS_FAST_DICT_KEYS_H
#define CQRS_FAST_DICT_KEYS_H

#include "lru.h"

/* Whether `number`, an exact int, has one digit; then `value` is it. */
static inline int cqrs_small_int(PyObject *number, Py_ssize_t *value) {
#if PY_VERSION_HEX >= 0x030c0000
    if (!PyUnstable_Long_IsCompact((PyLongObject *)number)) {
        return 0;
    }
    *value = PyUnstable_Long_CompactValue((PyLongObject *)number);
#else
    Py_ssize_t size = Py_SIZE(number);
    if (size < -1 || size > 1) {
        return 0;
    }
    *value = size * (Py_ssize_t)((PyLongObject *)number)->ob_digit[0];
#endif
    return 1;
}

/* What nobody outside may know: keys whose hashes meet make a table a list. The hashes of
 * Python's numbers and tuples are no secret, so that callers can choose such keys.
 */
typedef struct { uint64_t addend, factor; } cqrs_hash_secret;

/* Both halves of the product: every bit of `value` reaches every bit of the result. */
CQRS_LRU_INLINE uint64_t cqrs_hash_mix(
    uint64_t hash, uint64_t value, const cqrs_hash_secret *secret
) {
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)(hash ^ value ^ secret->addend) * secret->factor;
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

/* Mix in an int of any size by its digits, so that equal ints stay equal and no others. */
static uint64_t cqrs_hash_int(
    PyObject *number, uint64_t hash, const cqrs_hash_secret *secret
) {
    const PyLongObject *value = (const PyLongObject *)number;
    int overflow;
    int64_t word = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow == 0) {
        /* As hash() has it: what equals it (1.0, True) is hashed by that. */
        return cqrs_hash_mix(hash, (uint64_t)(word == -1 ? -2 : word), secret);
    }
#if PY_VERSION_HEX >= 0x030c0000
    const digit *digits = value->long_value.ob_digit;
    size_t count = value->long_value.lv_tag >> _PyLong_NON_SIZE_BITS;
#else
    const digit *digits = value->ob_digit;
    size_t count = (size_t)Py_ABS(Py_SIZE(value));
#endif
    hash = cqrs_hash_mix(hash, (uint64_t)overflow, secret);
    for (size_t index = 0; index < count; index++) {
        hash = cqrs_hash_mix(hash, digits[index], secret);
    }
    return hash;
}

/* A key of none of the usual kinds. Ints and floats go by their value, tuples by their
   items; all that equals them by `==` must come here too, but for numbers of foreign
   classes beyond 61 bits. 0: an exception, and `*hash` is not changed. */
static int cqrs_hash_any(
    PyObject *key, uint64_t *hash, const cqrs_hash_secret *secret
) {
    hashfunc own = Py_TYPE(key)->tp_hash;
    Py_hash_t plain;
    if (PyLong_Check(key) && own == PyLong_Type.tp_hash) {
        *hash = cqrs_hash_int(key, *hash, secret);
        return 1;
    }
    if (PyTuple_Check(key) && own == PyTuple_Type.tp_hash) {
        uint64_t inside = cqrs_hash_mix(*hash, (uint64_t)PyTuple_GET_SIZE(key), secret);
        if (Py_EnterRecursiveCall(" while hashing a key")) {
            return 0;
        }
        for (Py_ssize_t index = 0; index < PyTuple_GET_SIZE(key); index++) {
            if (!cqrs_hash_any(PyTuple_GET_ITEM(key, index), &inside, secret)) {
                Py_LeaveRecursiveCall();
                return 0;
            }
        }
        Py_LeaveRecursiveCall();
        /* Closed too: ((1,), 2) and ((1, 2),) differ by more than their lengths. */
        *hash = cqrs_hash_mix(inside, 0x510e527fade682d1ULL, secret);
        return 1;
    }
    if (PyFloat_Check(key) && own == PyFloat_Type.tp_hash) {
        double number = PyFloat_AS_DOUBLE(key);
        if (number == number && (number > 2e18 || number < -2e18) && number - number == 0) {
            PyObject *whole = PyLong_FromDouble(number);
            if (whole == NULL) {
                return 0;
            }
            *hash = cqrs_hash_int(whole, *hash, secret);
            Py_DECREF(whole);
            return 1;
        }
    }
    plain = PyObject_Hash(key);
    if (plain == -1) {
        return 0;
    }
    *hash = cqrs_hash_mix(*hash, (uint64_t)plain, secret);
    return 1;
}

/* The 32 bits that a table goes by. Mixed once more: after one product, keys at equal
   steps lie at equal steps, and some steps lead round and round a few places. */
CQRS_LRU_INLINE int64_t cqrs_hash_end(uint64_t hash, const cqrs_hash_secret *secret) {
    return (int64_t)(cqrs_hash_mix(hash, 0x9b05688c2b3e6c1fULL, secret) >> 32);
}

CQRS_LRU_COLD int64_t cqrs_key_hash_cold(PyObject *key, const cqrs_hash_secret *secret) {
    uint64_t hash = 0;
    return cqrs_hash_any(key, &hash, secret) ? cqrs_hash_end(hash, secret) : -1;
}

/* The hash of a key for a table; -1: an exception. */
CQRS_LRU_INLINE int64_t cqrs_key_hash(PyObject *key, const cqrs_hash_secret *secret) {
    Py_ssize_t value;
    if (PyUnicode_CheckExact(key)) {
        Py_hash_t hash = ((PyASCIIObject *)key)->hash;
        if (__builtin_expect(hash != -1, 1)) {
            return cqrs_hash_end(cqrs_hash_mix(0, (uint64_t)hash, secret), secret);
        }
    } else if (PyLong_CheckExact(key) && cqrs_small_int(key, &value)) {
        value = value == -1 ? -2 : value;
        return cqrs_hash_end(cqrs_hash_mix(0, (uint64_t)value, secret), secret);
    }
    return cqrs_key_hash_cold(key, secret);
}

/* Keys of one hash that are not identical; `scope` is not used. */
static inline int cqrs_dict_equal(
    const cqrs_lru_node *node, PyObject *key, PyObject *scope
) {
    PyObject *its_key = node->key;
    Py_ssize_t one, other;
    (void)scope;
    if (PyUnicode_CheckExact(key) && PyUnicode_CheckExact(its_key)) {
        /* Hashed, so they are ready. */
        Py_ssize_t length = PyUnicode_GET_LENGTH(key);
        return length == PyUnicode_GET_LENGTH(its_key)
            && PyUnicode_KIND(key) == PyUnicode_KIND(its_key)
            && memcmp(
                PyUnicode_DATA(key), PyUnicode_DATA(its_key),
                (size_t)length * PyUnicode_KIND(key)
            ) == 0;
    }
    if (PyLong_CheckExact(key) && PyLong_CheckExact(its_key)
            && cqrs_small_int(key, &one) && cqrs_small_int(its_key, &other)) {
        return one == other;
    }
    return PyObject_RichCompareBool(its_key, key, Py_EQ);
}

#endif
