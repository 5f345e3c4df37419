"""Leases: an object of a pool for the length of a block, given back however it ends."""

cimport cython
from libc.stdint cimport uint32_t

from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.pools.lender cimport Wait

from cqrs_fast.base.callbacks import report_callback_error


@cython.freelist(64)
@cython.no_gc_clear
cdef class BaseLease:
    """What both leases are: at most one loan at a time."""

    def __init__(self):
        raise TypeError("a lease comes from pool.lease() or pool.lease_async()")

    def release(self):
        """Give the object back before the block ends; again, do nothing."""
        self.end()

    cdef int end(self) except -1:
        if self.loan.slot != 0:
            self.lender.return_loan(&self.loan)
        return 0

    def __dealloc__(self):
        if self.loan.slot == 0:
            return
        self.lender.leaked += 1
        try:
            self.lender.return_loan(&self.loan)
        except BaseException as error:
            lender = repr(self.lender)
            report_callback_error("release of a collected lease", lender, error)

    cdef int check_free(self) except -1:
        if self.loan.slot != 0:
            raise RuntimeError("this lease holds an object already: make another one")
        return 0

    cdef object begin(self, uint32_t slot):
        if self.loan.slot != 0:
            # Somebody entered the same lease while this one waited.
            self.lender.end_loan(slot)
            self.check_free()
        self.loan = self.lender.loan(slot)
        return self.lender.hand_out(slot)


@cython.final
cdef class Lease(BaseLease):
    """An object of a pool for the length of a `with` block."""

    def __enter__(self):
        self.check_free()
        return self.begin(self.lender.take(self.ctx))

    def __exit__(self, exc_type, exc, traceback):
        self.end()


@cython.final
cdef class LeaseAsync(BaseLease):
    """An object of a pool for the length of an `async with` block."""

    async def __aenter__(self):
        cdef Wait wait
        self.check_free()
        wait = self.lender.line_up(self.ctx, False)
        if wait is not None:
            await wait.rest()
        return self.begin(self.lender.claim())

    def __aexit__(self, exc_type, exc, traceback):
        self.end()
        return nothing


@cython.final
cdef class Nothing:
    """An awaitable that is done."""

    def __await__(self):
        return iter(())


cdef object nothing = Nothing()


constructed(Lease)
constructed(LeaseAsync)
