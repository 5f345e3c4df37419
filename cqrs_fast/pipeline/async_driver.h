/* What Cython has no syntax for in the awaitable of a dispatch. */
#ifndef CQRS_FAST_ASYNC_DRIVER_H
#define CQRS_FAST_ASYNC_DRIVER_H

#include <Python.h>
#include "../base/errstate.h"

/* Cython's tp_iternext raises StopIteration the slow way. */
static void cqrs_set_step_slots(
    PyTypeObject *type, sendfunc send, iternextfunc next
) {
    type->tp_as_async->am_send = send;
    type->tp_iternext = next;
    PyType_Modified(type);
}

/* Return `value` (stolen) from a tp_iternext: None needs no exception at all, and
   tp_new leaves out the argument tuple and the __init__ of a constructor call. */
static PyObject *cqrs_stop_with(PyObject *value) {
    if (value == Py_None) {
        Py_DECREF(value);
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)PyExc_StopIteration;
    PyObject *none = PyTuple_New(0);
    PyObject *stop = none == NULL ? NULL : type->tp_new(type, none, NULL);
    Py_XDECREF(none);
    if (stop == NULL) {
        Py_DECREF(value);
        return NULL;
    }
    Py_XSETREF(((PyStopIterationObject *)stop)->value, value);
    cqrs_raise_again(stop);
    return NULL;
}

#define cqrs_begin(dispatch) \
    ((dispatch)->__pyx_base.__pyx_vtab->begin(&(dispatch)->__pyx_base))

#if PY_VERSION_HEX >= 0x030d0000
#define cqrs_thread_state() PyThreadState_GetUnchecked()
#else
#define cqrs_thread_state() _PyThreadState_UncheckedGet()
#endif
#define cqrs_origin_depth() (cqrs_thread_state()->coroutine_origin_tracking_depth)

#endif
