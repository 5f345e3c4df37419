/* The fields of a record, and the rule that most of them have: one type and bounds. */
#ifndef CQRS_FAST_SIMPLE_H
#define CQRS_FAST_SIMPLE_H

#include <Python.h>
#include <stdint.h>

/* A rule so simple that it is checked without a call. */
typedef struct {
    PyTypeObject *type;         /* exactly; NULL: there is no such simple rule */
    int64_t low, high;          /* of an int, or of the length of a str */
} cqrs_simple;

/* How a field is read from its record. */
enum cqrs_access {
    CQRS_SLOT,                  /* a pointer at `offset`: Structs and __slots__ */
    CQRS_ATTRIBUTE,             /* getattr: dataclasses, attrs */
    CQRS_INDEX,                 /* an item of a tuple: NamedTuple */
    CQRS_ITEM                   /* a key of a dict: TypedDict */
};

/* A Field in C: walking it changes no reference count. All pointers are borrowed. */
typedef struct {
    int access;
    int required;
    int may_be_unset;
    Py_ssize_t offset;
    cqrs_simple rule;           /* of `node` */
    Py_ssize_t position;
    PyObject *name;
    PyObject *wire_name;        /* NULL: `position` */
    PyObject *node;             /* NULL: any value is valid */
} cqrs_place;

/* Whether the value certainly keeps the rule; 0: run the full check. */
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

/* Whether every field of a record of exactly the class of these places is certainly
   valid; 0: run the full check. */
static inline int cqrs_is_simple(
    const cqrs_place *place, Py_ssize_t count, PyObject *record
) {
    /* hot: a few comparisons for each field */
    for (const cqrs_place *end = place + count; place != end; place++) {
        PyObject *found;
        if (place->access != CQRS_SLOT) {
            return 0;
        }
        found = *(PyObject **)((char *)record + place->offset);
        if (found == NULL || (place->node != NULL && !cqrs_keeps(&place->rule, found))) {
            return 0;
        }
    }
    return 1;
}

#endif
