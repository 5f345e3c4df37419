/* Whether a value is to be awaited, or used up by its use, for a few loads. */
#ifndef CQRS_FAST_AWAITABLES_H
#define CQRS_FAST_AWAITABLES_H

#include <Python.h>

static inline int cqrs_is_old_coroutine(PyObject *value) {
    if (!PyGen_CheckExact(value)) {
        return 0;
    }
#if PY_VERSION_HEX >= 0x030c0000
    PyCodeObject *code = PyGen_GetCode((PyGenObject *)value);
#else
    PyCodeObject *code = ((PyGenObject *)value)->gi_code;
    Py_INCREF(code);
#endif
    int flags = code->co_flags;
    Py_DECREF(code);
    return flags & CO_ITERABLE_COROUTINE;
}

/* Whether `await value` would work; a few loads for a plain value. */
static inline int cqrs_is_awaitable(PyObject *value) {
    PyAsyncMethods *slots = Py_TYPE(value)->tp_as_async;
    /* Generators have such slots too. */
    if (slots == NULL) {
        return 0;
    }
    return slots->am_await != NULL || cqrs_is_old_coroutine(value);
}

static inline int cqrs_is_async_generator(PyObject *value) {
    return PyAsyncGen_CheckExact(value);
}

/* Whether it is work that is still to be done: awaitable, or an async generator. */
static inline int cqrs_is_promise(PyObject *value) {
    PyAsyncMethods *slots = Py_TYPE(value)->tp_as_async;
    if (slots == NULL) {
        return 0;
    }
    return slots->am_await != NULL || PyAsyncGen_CheckExact(value)
           || cqrs_is_old_coroutine(value);
}

/* That, or a generator, which is one where a generator function made it. */
static inline int cqrs_may_be_promise(PyObject *value) {
    PyAsyncMethods *slots = Py_TYPE(value)->tp_as_async;
    if (slots == NULL) {
        return 0;
    }
    return slots->am_await != NULL || PyAsyncGen_CheckExact(value)
           || PyGen_CheckExact(value);
}

/* Whether it is its own iterator by that slot. One that has none, or raises, gives
   no second look at what it holds either. */
static int cqrs_iterates_itself(PyObject *value, getiterfunc iterate) {
    PyObject *made;
    if (iterate == NULL || iterate == PyObject_SelfIter) {
        return 1;
    }
    made = iterate(value);
    if (made == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            return -1;
        }
        PyErr_Clear();
        return 1;
    }
    Py_DECREF(made);
    return made == value;
}

/* Whether its use consumes it: an awaitable, or its own iterator, sync or async;
   -1 with an exception that is no Exception. Users' `__iter__` may run. */
static int cqrs_is_used_up(PyObject *value) {
    PyTypeObject *type = Py_TYPE(value);
    PyAsyncMethods *slots = type->tp_as_async;
    int found = 0;
    if (slots != NULL && slots->am_await != NULL) {
        return 1;
    }
    if (slots != NULL && slots->am_anext != NULL) {
        found = cqrs_iterates_itself(value, slots->am_aiter);
    }
    if (found == 0 && PyIter_Check(value)) {
        found = cqrs_iterates_itself(value, type->tp_iter);
    }
    return found;
}

#endif
