"""Limit: the deadline of a timeout that interrupts a handler, for what is inside."""


cdef class Limit:
    """The deadline of a timeout that interrupts a handler, for what is inside.

    A dispatch in the handler learns from it that a cancellation is the timeout's.
    """

    cdef bint expired
    cdef bint over                  # its handler has ended
    cdef object task                # that was cancelled by it …
    cdef int cancelling             # … and its cancelling() before
    cdef Limit outer

    cdef bint explains(self) except -1      # a cancellation that arrives now
    cdef int end(self) noexcept


# The nearest whose handler still runs: a chain of ended ones would never end.
cdef Limit pending(Limit limit)
