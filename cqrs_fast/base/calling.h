/* Calling users' code, and what it returns: a value, or something to await first. */
#ifndef CQRS_FAST_CALLING_H
#define CQRS_FAST_CALLING_H

#include <Python.h>
#include "awaitables.h"

/* Call `callee(*args)`, where args[-1] is free to write: what PyObject_Vectorcall
   does without its check of the result, and a bound method without a detour. */
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

/* PyIter_Send for what mostly is a coroutine. */
static inline PySendResult cqrs_send(
    PyObject *iterator, PyObject *sent, PyObject **out
) {
    if (PyCoro_CheckExact(iterator)) {
        return Py_TYPE(iterator)->tp_as_async->am_send(iterator, sent, out);
    }
    return PyIter_Send(iterator, sent, out);
}

/* PyIter_Send for what mostly is a generator. */
static inline PySendResult cqrs_send_generator(
    PyObject *generator, PyObject *sent, PyObject **out
) {
    if (PyGen_CheckExact(generator)) {
        return Py_TYPE(generator)->tp_as_async->am_send(generator, sent, out);
    }
    return PyIter_Send(generator, sent, out);
}

/* The iterator that `await value` steps; steals the reference. */
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

#endif
