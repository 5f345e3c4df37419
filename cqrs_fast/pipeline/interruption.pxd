"""How a deadline interrupts a suspended handler, and what its error is then."""

from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.timers cimport Timeout


# Let the frame's deadline interrupt the running task. False: there is none.
cdef bint begin_interruption(Frame *f, Timeout timeout) except -1
# The handler has ended: a cancellation by the timeout alone becomes its error.
cdef int end_interruption(Frame *f, Timeout timeout) noexcept
# Where an outer timeout's expiry is the frame's error, make a deadline of it; returns
# the cancellation that it was, or None.
cdef object explain_outer_timeout(Frame *f)

# Let what is outside see the cancellation again that was shown as a deadline in here.
cdef int hand_on_cancellation(Frame *f, object cancellation) noexcept
