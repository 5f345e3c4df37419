"""What a wait watches beside its delay: drain, cancellation and the deadline."""

from libc.stdint cimport int64_t

from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.waiter cimport Waiter


# What is left of the time of this dispatch by now: NO_DEADLINE, or nanoseconds that are
# negative once it is over. Reads a clock only where there is a deadline.
cdef int64_t remaining_ns(Frame *f) except? -1

# Begin the wait that a stage asked for; None: it was ended at once, the frame says why.
# Sets timeout_ns to what the driver lets pass in real time, -1 without a limit.
cdef Waiter begin_wait(Frame *f, int64_t *timeout_ns)

# End it. `error` is what was raised into the wait (a cancellation), or None.
cdef int finish_wait(Frame *f, Waiter waiter, object error) except -1

# End a wait that did not come about: `waiter` is what begin_wait returned, or None.
cdef int abandon_wait(Frame *f, Waiter waiter, object error) noexcept
