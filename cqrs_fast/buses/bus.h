/* What the methods of a bus do that Cython has no words for. */
#ifndef CQRS_FAST_BUS_H
#define CQRS_FAST_BUS_H

#include <Python.h>

/* Give `type` its own descriptor of an inherited method: CPython specializes calls
   only if the descriptor belongs to the exact class of the object. */
static int cqrs_adopt(PyTypeObject *type, PyObject *inherited, PyObject *name) {
    PyMethodDef *method = ((PyMethodDescrObject *)inherited)->d_method;
    PyObject *own = PyDescr_NewMethod(type, method);
    int status = own == NULL ? -1 : PyDict_SetItem(type->tp_dict, name, own);
    Py_XDECREF(own);
    PyType_Modified(type);
    return status;
}

/* Leave the method with `result`. A NULL raises what is set, without a traceback
   line of this library, whose code object and frame would cost more than the
   rejection. Only where the method holds no reference of its own. A tracer needs
   the exit that Cython generates. */
#if CYTHON_TRACE || CYTHON_TRACE_NOGIL
#define cqrs_leave_with(result) (void)(result)
#else
#define cqrs_leave_with(result) return (result)
#endif

/* Append `item`, which is stolen; NULL is the error that is set. */
static inline int cqrs_append(PyObject *list, PyObject *item) {
    Py_ssize_t size = Py_SIZE(list);
    int status;
    if (item == NULL) {
        return -1;
    }
    if (((PyListObject *)list)->allocated > size) {
        PyList_SET_ITEM(list, size, item);
        Py_SET_SIZE(list, size + 1);
        return 0;
    }
    status = PyList_Append(list, item);
    Py_DECREF(item);
    return status;
}

#endif
