"""Limit: the deadline of a timeout that interrupts a handler."""

cimport cython

from cqrs_fast.base.sealing cimport internal


@cython.final
@cython.trashcan(True)
cdef class Limit:
    cdef bint explains(self) except -1:
        cdef Limit limit = self
        while limit is not None:
            # A caller that cancelled too wins: then it is a cancellation.
            if limit.expired and not limit.over:
                if limit.task.cancelling() <= limit.cancelling + 1:
                    return True
            limit = limit.outer
        return False

    cdef int end(self) noexcept:
        self.over = True
        self.task = None
        self.outer = pending(self.outer)
        return 0


cdef Limit pending(Limit limit):
    while limit is not None and limit.over:
        limit = limit.outer
    return limit


internal(Limit)
