/* The rule that most fields have: one type, and bounds. */
#ifndef CQRS_FAST_SIMPLE_H
#define CQRS_FAST_SIMPLE_H

#include <Python.h>
#include <stdint.h>

/* What most fields are held to, so simple that it is kept or not without a call. */
typedef struct {
    PyTypeObject *type;         /* exactly; NULL: there is no such simple rule */
    int64_t low, high;          /* of an int, or of the length of a str */
} cqrs_simple;

/* Whether the value surely keeps the rule; 0: look closer. */
static inline int cqrs_keeps(const cqrs_simple *rule, PyObject *value) {
    if (Py_TYPE(value) != rule->type) {
        return 0;
    }
    if (rule->type == &PyUnicode_Type) {
        Py_ssize_t length = PyUnicode_GET_LENGTH(value);
        return rule->low <= length && length <= rule->high;
    }
    if (rule->type == &PyLong_Type) {
        int64_t number;
#if PY_VERSION_HEX >= 0x030c0000
        if (!PyUnstable_Long_IsCompact((PyLongObject *)value)) {
            return 0;
        }
        number = PyUnstable_Long_CompactValue((PyLongObject *)value);
#else
        Py_ssize_t size = Py_SIZE(value);
        if (size < -1 || size > 1) {
            return 0;
        }
        number = (int64_t)size * ((PyLongObject *)value)->ob_digit[0];
#endif
        return rule->low <= number && number <= rule->high;
    }
    return 1;
}

#endif
