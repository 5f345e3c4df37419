"""ObjectPool: objects that are costly to make, lent to one user at a time."""

from libc.stdint cimport int64_t, uint32_t

from cqrs_fast.pools.lender cimport Lender


cdef class ObjectPool(Lender):
    cdef object factory, reset, dispose
    cdef bint cleans                    # a release has more to do than to shelve it
    cdef list inherited                 # objects of the parent process, or None
    cdef int64_t created, reset_failures
    cdef object __weakref__

    # Make an object for a permit that is held, and lend it; or give the permit back.
    cdef uint32_t make(self) except 0
    cdef int give_permit_back(self) except -1
    cdef int clean(self, uint32_t slot) except -1
    cdef int drop(self, uint32_t slot) except -1
    # Make idle ones, as long as it has fewer than `count`.
    cdef int fill(self, uint32_t count) except -1
    cdef int not_lent_error(self, object given, uint32_t slot) except -1
