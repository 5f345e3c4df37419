"""Loads: who computes what a cache lacks, and who waits for it."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from cqrs_fast.stages.caching.settings cimport CacheSettings
from cqrs_fast.validation.key_plan cimport KeyPlan
from cqrs_fast.validation.keys cimport TypedKey
from cqrs_fast.waits.flight cimport Flight, Participant


cdef class Load(Participant):
    """One dispatch that misses, from its miss to its end. Its slot owns it."""

    cdef TypedKey key
    cdef tuple tags                 # frozen, or None
    cdef CacheSettings config       # that it began with and keeps to
    cdef uint64_t era               # of the settings that its key was made by
    cdef int64_t begun_ns           # where the lifetime counts from there
    cdef bint stale                 # invalidated since it began: not to be stored
    cdef bint running               # it went on to the handler
    # In the row of all: None where it is in none, or forgotten after a fork
    cdef Loads loads
    cdef PyObject *newer
    cdef PyObject *older


cdef class Loads:
    """All loads of one cache; flights by key. Invalidations find both in here."""

    cdef dict flights               # TypedKey -> Flight that is to be joined
    cdef PyObject *newest           # a Load, borrowed: what waits is not kept by it
    cdef int count
    cdef uint64_t shared            # that took the outcome of another
    cdef object __weakref__

    cdef int add(self, Load load) noexcept
    cdef int remove(self, Load load) noexcept
    # The flight to join, or None.
    cdef Flight flight_of(self, TypedKey key)
    # Let no leader whose event loop is closed be waited for; runs code of that loop.
    cdef int skip_closed(self, TypedKey key) except -1
    # It begins, as the leader of a flight or on its own.
    cdef int begin(self, Load load) noexcept
    # End a flight that nobody may join any more.
    cdef int close(self, TypedKey key, Flight flight) except -1
    # Who leads leaves without an outcome: another one leads, or the flight ends.
    cdef int pass_on(self, Load load) except -1

    # What matches is not stored, nor joined by later callers.
    cdef int outdate_key(
        self, KeyPlan plan, object key, PyObject *scope, uint64_t group
    ) noexcept
    cdef int outdate_class(self, object cls) noexcept
    cdef int outdate_tags(self, list tags) noexcept
    cdef int outdate_all(self) noexcept
