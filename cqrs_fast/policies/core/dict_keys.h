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

/* hash(key), or -1 with an exception. */
CQRS_LRU_INLINE Py_hash_t cqrs_dict_hash(PyObject *key) {
    Py_ssize_t value;
    if (PyUnicode_CheckExact(key)) {
        Py_hash_t hash = ((PyASCIIObject *)key)->hash;
        if (__builtin_expect(hash != -1, 1)) {
            return hash;
        }
    } else if (PyLong_CheckExact(key) && cqrs_small_int(key, &value)) {
        return value == -1 ? -2 : value;
    }
    return PyObject_Hash(key);
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
