"""ObjectPool: objects that are costly to make, used by one caller at a time."""

from libc.stdint cimport int64_t, uint32_t

from cqrs_fast.pools.lender cimport Lender


cdef class ObjectPool(Lender):
    cdef object factory, reset, dispose
    cdef bint cleans                    # a release resets or drops the object
    cdef int64_t created, reset_failures
    cdef object __weakref__

    # Make an object for a permit that is held; on failure give the permit back.
    cdef uint32_t make(self) except 0
    cdef int give_permit_back(self) except -1
    cdef int clean(self, uint32_t slot) except -1
    cdef int drop(self, uint32_t slot) except -1
    # Make idle objects until it has `count`.
    cdef int fill(self, uint32_t count) except -1
    cdef int not_lent_error(self, object given, uint32_t slot) except -1
