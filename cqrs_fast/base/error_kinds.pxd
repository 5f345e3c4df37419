"""Kinds of errors: what matches classes, also inside of exception groups."""

from cpython.ref cimport PyObject


cdef extern from "Python.h":
    # As an `except` clause matches: by subclass, asking no metaclass.
    bint matches "PyErr_GivenExceptionMatches"(
        PyObject *error, PyObject *classes
    ) noexcept


# The members of an exception group at every depth that are no groups; of any other
# error itself alone. Asks no code of a subclass.
cdef list leaves_of(object error)
cdef bint is_group(PyObject *error) noexcept

# Whether it is in DETERMINISTIC and no broken answer of somebody else; of one error
# that is no group.
cdef bint is_deterministic(object error) except -1

# Whether the application said no; of a group, whether all members do. It is False
# where there is no memory to find out.
cdef bint is_domain(PyObject *error, tuple classes) noexcept
# Whether one of `named`, a domain class itself, matches the error.
cdef bint names_domain(tuple named, PyObject *error, tuple classes) noexcept
# Whether any member does.
cdef bint has_domain(PyObject *error, tuple classes) except -1
