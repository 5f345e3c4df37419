"""Route: one handler with its stages as a flat program, immutable once built."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.gate cimport InFlight, Gate
from cqrs_fast.pipeline.program cimport Reading, Step


cdef enum Form:
    MESSAGE = 1             # call(message)
    CONTEXT_MESSAGE = 2     # call(context, message)
    AROUND = 3              # call(context, message, next)


cdef class Route:
    # What every dispatch looks at, side by side, as memory is read in lines
    cdef object call                    # what the driver calls: handler or around
    cdef Gate gate
    cdef int64_t *in_flight             # the count of `counter`
    cdef Step *program                  # the stages, as an array, and an end
    cdef bint bypasses_driver           # no stage, call(message), sync: not driven
    cdef bint context_only              # nor is this: call(context, …), without a clock
    cdef readonly bint is_async         # execute refuses it
    cdef Form form
    cdef int depth                      # how many stages
    cdef int slot_count
    cdef int first_timed                # outermost stage whose leave needs the time
    cdef bint reads_clock
    cdef Reading reading                # how
    cdef bint calls_user_code                # a stage calls users' code on the way in
    cdef Clock clock
    # What it is
    cdef readonly str name              # the registered name
    cdef readonly object message_class  # None where it is registered by name
    cdef readonly object handler        # as it was registered
    cdef readonly str kind              # of its bus: "command" or "query"
    # The program
    cdef readonly tuple stages
    cdef object call_async              # its twin under execute_async; mostly the same
    cdef readonly object around         # the middleware that is called in its place …
    cdef str around_kind                # … "around" or "factory"
    cdef readonly Route inner           # behind an around: the rest of the program
    cdef object next                    # the inner route as the around is given it
    cdef bint offloads                  # what it calls runs in a thread there
    cdef int observers                  # how many, from the outermost, only look on
    cdef int first_measured             # first_timed where no handler was called
    cdef bint name_is_fixed                 # every instance of message_class has `name`
    cdef readonly bint may_wait         # a stage in it or inside it may wait
    cdef readonly tuple why_not_async   # it refuses it: (why, what to write), or None
    cdef InFlight counter
    cdef bint is_inner

    # Lay the program out once every field above it is set.
    cdef int lay_out(self) except -1
    cdef int link(self) noexcept
    cdef Reading reading_of(self) noexcept


cdef class Router:
    """What finds the route of a message: a bus."""

    cdef Route route_for(self, object message)


# The message's own name.
cdef str own_name(Route route, object message)
cdef str frame_name(Frame *f)
