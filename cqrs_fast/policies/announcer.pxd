"""Announcer: the transitions of a circuit breaker on their way to a callback."""

from libc.stdint cimport uint64_t

from cqrs_fast.policies.core.circuit_breaker cimport Change, Changes


cdef class Announcer:
    """Transitions on their way to a callback: each one once, in order."""

    cdef object listener                # on_event, or None; swapped with the settings
    cdef str name                       # of the breaker, or None
    cdef Change *waiting                # a ring
    cdef Py_ssize_t size, first, count
    cdef bint delivering
    cdef unsigned long deliverer        # the thread that does
    cdef Py_ssize_t echoes              # made by its callbacks meanwhile
    cdef uint64_t lost

    # Take the transitions of a decision in; to be called before anything else runs.
    cdef int put(self, const Changes *changes) noexcept
    # Pass all waiting transitions to the callback, unless another call does already.
    # Raises only what is no Exception.
    cdef int deliver(self) except -1
