"""The immutable context of a dispatch: values, deadline, cancellation, principal."""

from libc.stdint cimport int64_t, uint32_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.limit cimport Limit


cdef extern from "<stdint.h>":
    int64_t NO_DEADLINE "INT64_MAX"


cdef class CancelScope:
    """What one `with_cancel` can end, with everything derived from it."""

    cdef CancelScope parent
    cdef bint cancelled
    cdef object reason
    cdef set waiters                # to be woken by cancel(); None until one waits

    cdef CancelScope cancelled_one(self)    # self or the ancestor that was cancelled


cdef class Value:
    """One link of the chain of values, the newest first."""

    cdef object key, value
    cdef Value older


cdef class ContextState:
    """What a context and the children that a dispatch makes of it share."""

    cdef Value values
    cdef object principal, correlation_id
    cdef CancelScope scope          # the nearest one, or None
    cdef Clock clock                # of the deadline; None is the system clock
    cdef int64_t deadline_ns        # a reading of `clock`, or NO_DEADLINE
    cdef bint limited               # it has a deadline or a scope: it can be done
    cdef Limit limit                # of the nearest timeout, or None

    cdef ContextState copy(self)


cdef class Context:
    cdef ContextState state
    cdef Context origin             # the dispatch's own context this derives from
    cdef bint is_dispatch           # made by a driver for one dispatch …
    cdef bint live                  # … which is in flight
    cdef bint owns_scope            # made by with_cancel: cancel() is its own
    cdef uint32_t retries           # of the routes behind the arounds of it …
    cdef uint32_t notes             # … and their Note flags

    cdef Context derive(self, ContextState state)
    cdef Context with_deadline_ns(self, object deadline_ns)
    # A child with the deadline of a timeout, or with that of `like` again.
    cdef Context bounded(self, int64_t deadline_ns, Clock clock, bint interrupts)
    cdef Context copy_bound(self, ContextState like)
    # The dispatch's own context that this is or derives from; None outside of one.
    cdef Context own(self)
    # The dispatch whose own context this is has ended, and what that was in before it.
    cdef int cut_origin(self) noexcept
    # Count deadlines from here on by another clock; one that is set keeps its own.
    cdef int tell_time_by(self, Clock clock) except -1
    cdef object failure(self)       # why it is done: an exception, or None
    cdef bint nested(self) noexcept     # derives from a dispatch that is in flight
    cdef int64_t remaining_ns(self) except? -1  # NO_DEADLINE without a deadline


cdef Context background             # the empty root

# This dispatch's own child of `parent`, alive until the driver ends it.
cdef Context dispatch_context(Context parent)
