"""The immutable context of a dispatch: values, deadline, cancellation, principal."""

from libc.stdint cimport int64_t, uint32_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.limit cimport Limit


cdef extern from "<stdint.h>":
    int64_t NO_DEADLINE "INT64_MAX"


cdef class CancelScope:             # the part of a context that one with_cancel made
    cdef CancelScope parent
    cdef bint cancelled
    cdef object reason
    cdef set waiters                # to be woken by cancel(); None until one waits

    cdef CancelScope cancelled_one(self)    # self or the ancestor that was cancelled


cdef class Value:                   # one link of the chain of values, newest first
    cdef object key, value
    cdef Value older


cdef class ContextState:
    """The fields that a context shares with the children that a dispatch makes."""

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
    cdef bint owns_scope            # made by with_cancel: `cancel()` is allowed
    cdef uint32_t retries           # of the routes inside its arounds …
    cdef uint32_t notes             # … and their Note flags
    cdef str made_id                # the correlation id of a root that was given none

    cdef Context derive(self, ContextState state)
    # A child with the deadline of a timeout, or with that of `like` again.
    cdef Context bounded(self, int64_t deadline_ns, Clock clock, bint interrupts)
    cdef Context copy_bound(self, ContextState like)
    # The dispatch's own context that this is or derives from, or None.
    cdef Context own(self)
    cdef object known_id(self)      # the correlation id; a root dispatch makes one
    # Its dispatch ended: skip it and other ended dispatches in the chain of origins.
    cdef int cut_origin(self) noexcept
    # Measure later deadlines by another clock; a deadline that is set keeps its own.
    cdef int tell_time_by(self, Clock clock) except -1
    cdef object failure(self)       # why it is done: an exception, or None
    cdef bint nested(self) noexcept     # derives from a dispatch that is in flight
    cdef int64_t remaining_ns(self) except? -1  # NO_DEADLINE without a deadline


cdef Context background             # the empty root
cdef Context dispatch_context(Context parent)   # live until the driver ends it
