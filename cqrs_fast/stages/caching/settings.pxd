"""CacheSettings: the checked parameters of a CachingMiddleware; immutable."""

from libc.stdint cimport int64_t, uint32_t


cdef enum Scope:
    BY_PRINCIPAL = 0
    SHARED = 1
    CALLED = 2          # by what a callable of the context returns


cdef class CacheSettings:
    cdef readonly dict given            # by the names of the parameters
    cdef int64_t ttl_ns                 # 0: nothing is stored
    cdef int64_t negative_ttl_ns, wait_ns
    cdef uint32_t max_size
    cdef double jitter
    cdef Scope scope_kind
    cdef object scope, key, condition, tags     # callables, or None
    cdef object copier                  # a callable, None shares by reference
    cdef tuple negative_on
    cdef bint single_flight, from_start
    cdef bint plain                     # a hit calls none of users' code

    cdef int take_scope(self, object scope) except -1
