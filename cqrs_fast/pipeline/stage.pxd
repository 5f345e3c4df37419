"""Stage: the form every middleware compiles to. It decides; the driver waits."""

from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.pipeline.frame cimport Frame


cdef class RouteSpec:
    """What a stage may know of the route it is built into."""

    cdef readonly str name              # the registered name
    cdef readonly object message_class  # None where it is registered by name
    cdef readonly str kind              # of the bus: "command" or "query"
    cdef readonly bint is_async         # the handler or an around middleware inside is
    cdef readonly Clock clock           # of the bus; None is the system clock
    cdef readonly object message_type   # the same, with its type arguments
    cdef object route                   # the Route being built; None outside of a bus
    cdef int64_t timeout_ns             # the nearest of the timeouts inside, or 0


cdef class Stage:
    # What it needs and does. A subclass says so in its __cinit__, once and for all.
    cdef readonly bint reads_clock      # enter looks at f.now_ns
    cdef readonly bint reads_end        # leave looks at f.now_ns …
    cdef readonly bint judges_end       # … only to tell whether a handler was late
    cdef readonly bint may_wait         # enter or leave may say WAIT or AGAIN
    cdef readonly bint awaits           # enter or leave may say AWAIT: async only
    cdef readonly bint has_slot         # f.slot is its own, zeroed
    cdef readonly bint observes         # only looks on; sees refused dispatches too
    cdef readonly bint skips_results      # leave has nothing to do after a result
    cdef readonly bint calls_user_code       # enter calls users' code
    cdef int64_t version                # counts its changes of settings

    # Only what a subclass overrides is called; raising in enter counts as STOP.
    cdef int enter(self, Frame *f) except -1    # on the way in: a Verdict
    cdef int leave(self, Frame *f) except -1    # after a result or an error: same
    # The stage that serves this route: usually self; None where it can never act.
    cdef Stage for_route(self, RouteSpec spec)
    cdef tuple described(self)          # for explain() and describe(): (kind, settings)
    cdef object observed(self)          # for stats(): a struct of numbers, or None

    # Live change: `update` and `revise` construct a stage with the new settings, which
    # checks them, and let it serve the state of this one. How, a stage says here.
    cdef dict changeable(self)                      # the settings that may, or None
    cdef int succeed(self, Stage old) except -1     # take over its state
    cdef bint is_replaced(self) noexcept            # new routes have the new stage
    cdef Stage serve(self, RouteSpec spec, Stage new)   # what serves it under `new`
    cdef int check_built(self, Stage new) except -1     # raise if built routes cannot
    cdef int exchange(self, Stage new) noexcept     # swap settings, without user code
    cdef int settle(self, Stage old) except -1      # evict, wake: what remains to do
    # New settings, checked and not in effect; None for a stage without a state to keep.
    cdef Revision revise(self, dict settings)


cdef class Revision(Stage):
    """New settings for a stage that keeps its state, checked and not in effect yet.

    Routes are built with it in place of the stage. Its settings take effect in one step
    with the routes, for every bus.
    """

    cdef Stage stage, old, new          # what the bus lists from then on, did, will
    cdef int64_t version                # of the old one, when it was asked
    cdef bint is_current(self) noexcept     # nothing has changed it since
    cdef int apply_to_old(self) noexcept
    cdef int apply(self) noexcept       # put the settings in effect; no user code runs
    cdef int finish(self) except -1     # do what remains, once the routes are in place
