/* Prevent objects that no constructor has filled. */
#ifndef CQRS_FAST_SEALING_H
#define CQRS_FAST_SEALING_H

#include <Python.h>
#include <string.h>

static const char *cqrs_short_name(PyTypeObject *type) {
    const char *dot = strrchr(type->tp_name, '.');
    return dot == NULL ? type->tp_name : dot + 1;
}

static PyObject *cqrs_reject_new(PyObject *type, PyObject *args, PyObject *kwargs) {
    (void)args; (void)kwargs;
    return PyErr_Format(
        PyExc_TypeError, "%s.__new__ makes no usable object: call the class",
        cqrs_short_name((PyTypeObject *)type)
    );
}

static PyObject *cqrs_reject_again(
    PyObject *self, PyObject *args, void *wrapped, PyObject *kwargs
) {
    (void)args; (void)wrapped; (void)kwargs;
    return PyErr_Format(
        PyExc_RuntimeError, "%s is initialised already: make another one",
        cqrs_short_name(Py_TYPE(self))
    );
}

static int cqrs_reject_call(PyObject *self, PyObject *args, PyObject *kwargs) {
    (void)args; (void)kwargs;
    PyErr_Format(
        PyExc_TypeError, "%s objects are made by the library alone",
        cqrs_short_name(Py_TYPE(self))
    );
    return -1;
}

static PyMethodDef cqrs_no_new = {
    "__new__", (PyCFunction)(void (*)(void))cqrs_reject_new,
    METH_VARARGS | METH_KEYWORDS, NULL
};

/* Replace __new__ and __init__ as Python code sees them. The slots, which calls of the
   class and Cython use, stay unchanged, but with `inside` calls fail too. */
static int cqrs_seal(PyTypeObject *type, int inside) {
    PyObject *own = PyDict_GetItemString(type->tp_dict, "__init__");
    struct wrapperbase *again = PyMem_RawCalloc(1, sizeof(*again));  /* never freed */
    PyObject *no_new = PyCFunction_New(&cqrs_no_new, (PyObject *)type);
    PyObject *no_init = NULL;
    int status = -1;
    if (again != NULL && no_new != NULL) {
        again->name = "__init__";
        again->flags = PyWrapperFlag_KEYWORDS;
        again->wrapper = (wrapperfunc)(void (*)(void))cqrs_reject_again;
        if (own != NULL && Py_IS_TYPE(own, &PyWrapperDescr_Type)) {
            again->doc = ((PyWrapperDescrObject *)own)->d_base->doc;
        }
        no_init = PyDescr_NewWrapper(type, again, NULL);
    }
    if (no_init != NULL
            && PyDict_SetItemString(type->tp_dict, "__new__", no_new) == 0
            && PyDict_SetItemString(type->tp_dict, "__init__", no_init) == 0) {
        status = 0;
        if (inside) {
            type->tp_init = cqrs_reject_call;
            type->tp_vectorcall = NULL;
        }
    }
    Py_XDECREF(no_new);
    Py_XDECREF(no_init);
    PyType_Modified(type);
    return status;
}

#define cqrs_constructed(type) cqrs_seal(type, 0)
#define cqrs_internal(type) cqrs_seal(type, 1)

#endif
