"""Rejections, made without a call of Python code: their rates are high."""

from cpython.object cimport PyTypeObject
from cpython.ref cimport Py_INCREF, PyObject


cdef enum:
    MOST_EXTRAS = 3


cdef class Rejection:
    """Makes the errors of one class below RejectedError."""

    cdef type cls
    cdef Py_ssize_t retry_after, middleware, name   # offsets of its slots
    cdef Py_ssize_t extras[MOST_EXTRAS]             # those of the subclass, in order

    # The same as `cls(retry_after, middleware, name)`; then `put` each extra.
    cdef inline object fresh(self, object retry_after, str middleware, object name):
        error = (<PyTypeObject *>self.cls).tp_new(self.cls, <PyObject *>(), NULL)
        store(error, self.retry_after, retry_after)
        store(error, self.middleware, middleware)
        store(error, self.name, name)
        return error

    cdef inline int put(self, object error, int extra, object value) except -1:
        store(error, self.extras[extra], value)
        return 0


# Fills an empty slot.
cdef inline void store(object error, Py_ssize_t offset, object value) noexcept:
    cdef char *start = <char *><PyObject *>error
    Py_INCREF(value)
    (<PyObject **>(start + offset))[0] = <PyObject *>value
