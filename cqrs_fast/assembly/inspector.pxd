"""The part of a bus that shows its routes, and replaces handlers for a while."""

from cqrs_fast.assembly.builder cimport Handler
from cqrs_fast.assembly.registry cimport Registrar


cdef class Inspector(Registrar):
    """The part of a bus that shows its routes, and replaces handlers for a while."""


cdef class Override:
    """A handler that stands in for the registered one while it is entered."""

    cdef Inspector bus
    cdef Handler stub
    cdef bint entered

    cdef int enter(self) except -1
    cdef int leave(self) except -1
