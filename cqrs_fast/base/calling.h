/* Call user code, and find out whether its result must be awaited. */
#ifndef CQRS_FAST_CALLING_H
#define CQRS_FAST_CALLING_H

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

/* Whether its work is still to be done: an awaitable or an async generator. */
static inline int cqrs_is_promise(PyObject *value) {
    PyAsyncMethods *slots = Py_TYPE(value)->tp_as_async;
    if (slots == NULL) {
        return 0;
    }
    return slots->am_await != NULL || PyAsyncGen_CheckExact(value)
           || cqrs_is_old_coroutine(value);
}

/* The same, or a generator, which may come from a generator function. */
static inline int cqrs_may_be_promise(PyObject *value) {
    PyAsyncMethods *slots = Py_TYPE(value)->tp_as_async;
    if (slots == NULL) {
        return 0;
    }
    return slots->am_await != NULL || PyAsyncGen_CheckExact(value)
           || PyGen_CheckExact(value);
}

/* Whether the slot returns the value itself, is empty or raises: then the value can be
   iterated only once. */
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
   -1 with a BaseException that is no Exception. Users' `__iter__` may run. */
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

/* Call `callee(*args)`; args[-1] may be overwritten. This is PyObject_Vectorcall with a
   cheaper check of the result and a short way to bound methods. */
static inline PyObject *cqrs_call(PyObject *callee, PyObject **args, size_t count) {
    size_t flags = PY_VECTORCALL_ARGUMENTS_OFFSET;
    PyTypeObject *type;
    vectorcallfunc call = NULL;
    PyObject *result;
    if (PyMethod_Check(callee)) {
        args--;
        args[0] = PyMethod_GET_SELF(callee);
        count++;
        flags = 0;
        callee = PyMethod_GET_FUNCTION(callee);
    }
    type = Py_TYPE(callee);
    if (PyType_HasFeature(type, Py_TPFLAGS_HAVE_VECTORCALL)) {
        call = *(vectorcallfunc *)((char *)callee + type->tp_vectorcall_offset);
    }
    if (call == NULL) {
        return PyObject_Vectorcall(callee, args, count | flags, NULL);
    }
    result = call(callee, args, count | flags, NULL);
    if (result == NULL && !PyErr_Occurred()) {
        PyErr_Format(PyExc_SystemError, "%.100s gave no result and no exception",
                     type->tp_name);
    }
    return result;
}

static inline PyObject *cqrs_call_one(PyObject *callee, PyObject *argument) {
    PyObject *args[2] = {NULL, argument};
    return cqrs_call(callee, args + 1, 1);
}

/* PyIter_Send, faster for coroutines. */
static inline PySendResult cqrs_send(
    PyObject *iterator, PyObject *sent, PyObject **out
) {
    if (PyCoro_CheckExact(iterator)) {
        return Py_TYPE(iterator)->tp_as_async->am_send(iterator, sent, out);
    }
    return PyIter_Send(iterator, sent, out);
}

/* PyIter_Send, faster for generators. */
static inline PySendResult cqrs_send_generator(
    PyObject *generator, PyObject *sent, PyObject **out
) {
    if (PyGen_CheckExact(generator)) {
        return Py_TYPE(generator)->tp_as_async->am_send(generator, sent, out);
    }
    return PyIter_Send(generator, sent, out);
}

/* The iterator of `await value`; steals the reference. */
static PyObject *cqrs_awaitable_iterator(PyObject *value) {
    if (PyCoro_CheckExact(value) || cqrs_is_old_coroutine(value)) {
        return value;
    }
    PyObject *iterator = Py_TYPE(value)->tp_as_async->am_await(value);
    if (iterator != NULL && !PyIter_Check(iterator)) {
        PyErr_Format(PyExc_TypeError, "__await__() of %.100s returned no iterator",
                     Py_TYPE(value)->tp_name);
        Py_CLEAR(iterator);
    }
    Py_DECREF(value);
    return iterator;
}

/* What a handler returned (stolen), stepped once if it is to be awaited. Most end here:
   only where it suspends, `iterator` is what does. */
static inline PySendResult cqrs_first_step(
    PyObject *returned, PyObject **iterator, PyObject **out
) {
    PySendResult sent;
    if (returned == NULL) {
        return PYGEN_ERROR;
    }
    if (!cqrs_is_awaitable(returned)) {
        *out = returned;
        return PYGEN_RETURN;
    }
    returned = cqrs_awaitable_iterator(returned);
    if (returned == NULL) {
        return PYGEN_ERROR;
    }
    sent = cqrs_send(returned, Py_None, out);
    if (sent == PYGEN_NEXT) {
        *iterator = returned;
    } else {
        Py_DECREF(returned);
    }
    return sent;
}

#endif
