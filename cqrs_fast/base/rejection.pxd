"""Rejections, made without a call of Python code: they come at high rates."""

from cpython.ref cimport Py_INCREF, PyObject


cdef extern from *:
    """
    #include <structmember.h>
    /* Where a slot of a class lies in its instances; -1 if there is no such slot. */
    static Py_ssize_t cqrs_slot_offset(PyObject *member) {
        if (!Py_IS_TYPE(member, &PyMemberDescr_Type)) {
            return -1;
        }
        return ((PyMemberDescrObject *)member)->d_member->offset;
    }

    /* An instance whose __init__ is not called. */
    static PyObject *cqrs_bare_instance(PyTypeObject *type) {
        PyObject *none = PyTuple_New(0);
        PyObject *made = none == NULL ? NULL : type->tp_new(type, none, NULL);
        Py_XDECREF(none);
        return made;
    }

    #define cqrs_at(object, offset) ((PyObject **)((char *)(object) + (offset)))
    """
    Py_ssize_t slot_offset "cqrs_slot_offset"(object member) noexcept
    object bare_instance "cqrs_bare_instance"(type cls)
    PyObject **at "cqrs_at"(object instance, Py_ssize_t offset) noexcept


cdef enum:
    MOST_EXTRAS = 3


cdef class Rejection:
    """Makes the errors of one class below RejectedError."""

    cdef type cls
    cdef Py_ssize_t retry_after, middleware, name   # where its slots lie
    cdef Py_ssize_t extras[MOST_EXTRAS]             # those of the subclass, as listed

    # What `cls(retry_after, middleware, name)` makes; each extra has still to be put.
    cdef inline object fresh(self, object retry_after, str middleware, object name):
        error = bare_instance(self.cls)
        store(error, self.retry_after, retry_after)
        store(error, self.middleware, middleware)
        store(error, self.name, name)
        return error

    cdef inline int put(self, object error, int extra, object value) except -1:
        store(error, self.extras[extra], value)
        return 0


# Into a slot that nothing is in yet.
cdef inline void store(object error, Py_ssize_t offset, object value) noexcept:
    Py_INCREF(value)
    at(error, offset)[0] = <PyObject *>value
