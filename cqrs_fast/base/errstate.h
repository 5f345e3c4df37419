/* The raised exception as a value, for CPython 3.11 to 3.13. */
#ifndef CQRS_FAST_ERRSTATE_H
#define CQRS_FAST_ERRSTATE_H

#include <Python.h>

/* Take the raised exception out of the thread state: a new reference. */
static Py_NO_INLINE PyObject *cqrs_take_raised(void) {
    /* CPython 3.11 loses the exception if it has no memory for a frame. */
    if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_SystemError, "an error came without an exception");
    }
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return value;
#endif
}

/* Raise `error` with its present traceback; steals the reference. */
static inline void cqrs_raise_again(PyObject *error) {
#if PY_VERSION_HEX >= 0x030c0000
    PyErr_SetRaisedException(error);
#else
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(error)), error,
                  PyException_GetTraceback(error));
#endif
}

/* A BaseException that is no Exception passes every stage unchanged. */
static inline int cqrs_is_transparent(PyObject *error) {
    return !PyType_IsSubtype(Py_TYPE(error), (PyTypeObject *)PyExc_Exception);
}

static inline PyObject *cqrs_steal(PyObject *result) { return result; }

#endif
