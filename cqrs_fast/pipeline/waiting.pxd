"""What a wait watches beside its delay: drain, cancellation and the deadline."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.waits.line cimport Ticket
from cqrs_fast.waits.waiter cimport Waiter

# Whether it would block the event loop that its thread runs: it must not wait in line.
cdef bint blocks_loop(Frame *f) except -1

# Let the dispatch wait with its ticket until it is woken, or for `delay_ns` (-1: until
# woken); says WAIT. Its slot keeps the ticket until the dispatch ends.
cdef int wait_in_line(
    Frame *f, Ticket ticket, Clock clock, int64_t delay_ns
) except -1

# A ticket for the dispatch, kept in its slot.
cdef Ticket join_line(Frame *f)


# Begin the wait that a stage asked for; None: it was ended at once, the frame says why.
# Sets timeout_ns to what the driver lets pass in real time, -1 without a limit.
cdef Waiter begin_wait(Frame *f, int64_t *timeout_ns)

# End it. `error` is what was raised into the wait (a cancellation), or None.
cdef int finish_wait(Frame *f, Waiter waiter, object error) except -1

# End a wait that did not come about: `waiter` is what begin_wait returned, or None.
cdef int abandon_wait(Frame *f, Waiter waiter, object error) noexcept

# What other waits are made of.

cdef struct Alarm:
    int64_t ns                  # from now; NO_DEADLINE for none
    PyObject *clock             # that measures it; NULL for real time

# Let the clocks of the alarms wake `waiter`, the nearest first. Returns what may pass
# in real time, -1 without a limit. Sorts the alarms.
cdef int64_t arm(Alarm *alarms, int count, Waiter waiter) except -2

cdef Alarm deadline_alarm(Context context) except *

# Whether anything that `context` derives from is cancelled wakes `waiter`.
cdef int watch_scopes(Context context, Waiter waiter) except -1
cdef int unwatch_scopes(Context context, Waiter waiter) except -1
