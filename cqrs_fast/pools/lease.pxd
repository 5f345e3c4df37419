"""Leases: an object of a pool for the length of a block, given back however it ends."""

from libc.stdint cimport uint32_t

from cqrs_fast.context cimport Context
from cqrs_fast.pools.lender cimport Lender, Loan


cdef class BaseLease:
    """What both leases are: at most one loan at a time."""

    cdef Lender lender
    cdef Context ctx
    cdef Loan loan

    cdef int end(self) except -1
    cdef int check_free(self) except -1
    # Hold what the pool has lent just now, and return it.
    cdef object begin(self, uint32_t slot)


cdef class Lease(BaseLease):
    pass


cdef class LeaseAsync(BaseLease):
    pass
