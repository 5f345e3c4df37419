"""Limit: the deadline of a timeout that interrupts a handler."""


cdef class Limit:
    """The deadline of a timeout that interrupts a handler.

    A dispatch inside the handler learns from it that a timeout caused a cancellation.
    """

    cdef bint expired
    cdef bint over                  # its handler has ended
    cdef object task                # that it cancelled …
    cdef int cancelling             # … and its cancelling() before
    cdef Limit outer

    cdef bint explains(self) except -1      # a cancellation that arrives now
    cdef int end(self) noexcept


# The nearest limit whose handler still runs; drops the chain of ended ones.
cdef Limit pending(Limit limit)
