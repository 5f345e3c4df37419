"""Route: one handler with its stages as a flat program, immutable once built."""

from cpython.ref cimport Py_DECREF, Py_XDECREF, PyObject
from libc.stdint cimport int64_t

from cqrs_fast.base.calling cimport call_one
from cqrs_fast.base.clock cimport Clock, coarse_ns, monotonic_ns
from cqrs_fast.base.counter_clock cimport counted_ns
from cqrs_fast.base.forks cimport fork_count
from cqrs_fast.context cimport NO_DEADLINE, Context
from cqrs_fast.pipeline.frame cimport (
    NOT_ENDED,
    PROCEED,
    STOP,
    WAIT,
    Frame,
    Slot,
    end_limit,
)
from cqrs_fast.pipeline.gate cimport Flights, Gate


cdef enum Form:
    MESSAGE = 1             # call(message)
    CONTEXT_MESSAGE = 2     # call(context, message)
    AROUND = 3              # call(context, message, next)


cdef enum Action:
    CALL = 0                # the driver calls the handler
    PARK = 1                # the driver waits
    DONE = 2                # the outcome is final
    WALK = 3                # the driver walks on, in the frame's direction


ctypedef int (*Question)(PyObject *stage, Frame *f) noexcept


cdef enum Reading:
    COUNTED = 0             # of the system clock, by the processor's counter
    EXACT = 1               # of the system clock
    COARSE = 2              # of its last tick
    OTHER = 3               # of a clock that runs users' code, or a manual one


cdef struct Step:
    # A stage as the walk sees it, side by side with the next one.
    PyObject *stage             # borrowed
    Question enter, leave       # NULL: it has nothing to say there
    Step *inward                # itself, or the first further in that has an enter …
    Step *outward               # the first further out that looks at a result, or NULL
    int slot                    # which of the frame's is its own, -1 for none
    bint errors_only


cdef class Route:
    # What it is
    cdef readonly str name              # the registered name
    cdef readonly object message_class  # None where it is registered by name
    cdef readonly object handler        # as it was registered
    cdef readonly str kind              # of its bus: "command" or "query"
    # The program
    cdef readonly tuple stages
    cdef Step *program                  # the same, as an array, and an end
    cdef object call                    # what the driver calls: handler or around
    cdef object call_async              # its twin under execute_async; mostly the same
    cdef Form form
    cdef readonly object around         # the middleware that is called in its place …
    cdef str around_kind                # … "around" or "factory"
    cdef readonly Route inner           # behind an around: the rest of the program
    cdef object next                    # the inner route as the around is given it …
    cdef object next_async              # … under execute_async; mostly the same
    cdef bint offloads                  # its handler runs in a thread there
    cdef int depth                      # how many stages
    cdef int observers                  # how many, from the outermost, only look on
    cdef int slot_count
    cdef int first_timed                # outermost stage whose leave needs the time …
    cdef int first_measured             # … where no handler was called, too
    cdef bint reads_clock
    cdef Reading reading                # how
    cdef bint takes_time                # a stage calls users' code on the way in
    cdef bint names_all                 # every instance of message_class has `name`
    cdef bint quick                     # no stage, call(message), sync: not driven
    # How it may run
    cdef readonly bint is_async         # execute refuses it
    cdef readonly bint may_wait         # a stage in it or inside it may wait
    cdef readonly bint blocks_loop      # execute_async refuses it: it would block
    # Where it counts
    cdef Clock clock
    cdef Gate gate
    cdef Flights flights
    cdef bint is_inner

    # Lay the program out once every field above it is set.
    cdef int lay_out(self) except -1
    cdef int link(self) noexcept
    cdef Reading reading_of(self) noexcept


cdef class Router:
    """What finds the route of a message: a bus."""

    cdef Route route_for(self, object message)


# A stage said something else than PROCEED on the way in, but no WAIT: head outwards.
cdef int stop(Frame *f, Step *step, int verdict) noexcept

# A stage said WAIT or AGAIN on the way out: what the driver does now.
cdef Action pause(Frame *f, int verdict) noexcept

# Go on outwards from a stage that said `verdict`, or made or met an error.
cdef Action walk_on(Frame *f, Step *step, int verdict) noexcept

# The same from where the frame stands.
cdef Action walk_back(Frame *f) noexcept

# Make the raised exception the outcome.
cdef int capture_error(Frame *f) noexcept

# Read a clock that is not the system's; what a user's raises becomes the outcome.
cdef int read_end(Frame *f, Route route) noexcept

# Forget the outcome and head inwards again.
cdef int begin_pass(Frame *f) noexcept

# End a stage's wait from outside: it is left once, with `error`.
cdef int end_wait(Frame *f, object error) noexcept

# Why this dispatch may not start, as a fresh exception, or None.
cdef object refusal(Route route, object message, PyObject *parent)

# Whether the time is over, or the context done, just before the handler; then that is
# the outcome.
cdef bint refuse_done(Frame *f) noexcept

# A fresh DeadlineExceededError of the timeout that is nearest.
cdef object timeout_error(Frame *f, str stage)

# Call a handler that takes the context, or an around.
cdef PyObject *invoke_in_context(Frame *f, PyObject *callee) except NULL
# The same with its NULL as a value, where a Cython call would jump to an error label.
ctypedef PyObject *(*Invocation)(Frame *f, PyObject *callee) noexcept

# The message's own name.
cdef str own_name(Route route, object message)
cdef str frame_name(Frame *f)


# The steps that both drivers take in every dispatch, compiled into each.

# After the handler: head outwards, and read the clock if somebody there looks at it.
cdef inline int turn(Frame *f) noexcept:
    f.upward = True
    if f.position > (<Route>f.route).first_timed:
        read_now(f, f.route)
    return 0


# The reading that the stages of a route are given.
cdef inline int64_t time_of(Route route) except? -1:
    if route.reading == COUNTED:
        return counted_ns()
    if route.reading == EXACT:
        return monotonic_ns()
    return coarse_ns() if route.reading == COARSE else route.clock.now()


cdef inline int read_now(Frame *f, PyObject *route) noexcept:
    # hot: without an error to look for, but where users' code may raise one
    cdef Reading reading = (<Route>route).reading
    if reading == COUNTED:
        f.now_ns = counted_ns()
    elif reading == EXACT:
        f.now_ns = monotonic_ns()
    elif reading == COARSE:
        f.now_ns = coarse_ns()
    else:
        read_end(f, <Route>route)
    return 0


# Make the frame of one dispatch ready.
cdef inline int start(
    Frame *f, Route route, PyObject *message, PyObject *parent, Slot *slots
) noexcept:
    # Field by field: for a block of this size GCC makes memset a slow `rep stos`.
    cdef int index
    f.route = <PyObject *>route
    f.message = message
    f.parent = parent
    f.context = f.result = f.error = f.waiter = f.clock = NULL
    f.bus_clock = NULL if route.clock is None else <PyObject *>route.clock
    f.slot = NULL
    f.slots = slots
    f.started_ns = f.now_ns = f.delay_ns = 0
    f.deadline_ns = f.shown_ns = f.sampled_ns = NO_DEADLINE
    f.timeout_ns = 0
    f.deadline_clock = NULL
    f.position = f.upward = f.on_loop = f.again = f.closing = 0
    f.ending = NOT_ENDED
    f.retries = f.notes = 0
    f.depth = route.depth
    f.slots_used = route.slot_count
    f.limited = parent != NULL and (<Context>parent).state.limited
    f.forks = fork_count
    for index in range(route.slot_count):
        slots[index].a = slots[index].b = 0
        slots[index].object = NULL
    if route.reads_clock:
        read_now(f, <PyObject *>route)
        # Nothing to enter if a user's clock raised.
        f.upward = f.error != NULL
        f.started_ns = f.now_ns
    return 0


# Whether it is worth a closer look if the handler may still start.
cdef inline bint may_be_over(Frame *f) noexcept:
    if f.limited or f.now_ns >= f.deadline_ns:
        return True
    return (<Route>f.route).takes_time and f.deadline_ns != NO_DEADLINE


# Call the handler as the route's form says: a new reference, or NULL with an exception.
cdef inline PyObject *invoke(Frame *f, PyObject *callee) noexcept:
    if (<Route>f.route).form == MESSAGE:
        return call_one(callee, f.message)
    return (<Invocation>invoke_in_context)(f, callee)


# Tell the dispatch whose around is outside what this part of it came to.
cdef inline int hand_out(Frame *f) noexcept:
    cdef Context outer = (<Context>f.parent).own()
    if outer is not None:
        outer.retries += f.retries
        outer.notes |= f.notes
    return 0


# Let go of what the frame owns, the outcome excepted.
cdef inline int release(Frame *f) noexcept:
    cdef PyObject *context = f.context
    cdef PyObject *waiter = f.waiter
    cdef Context own
    f.context = f.waiter = NULL
    if context != NULL:
        own = <Context>context
        if not own.is_dispatch:
            # A stage has put a child of the dispatch's own context in its place.
            end_limit(own)
            own = own.origin
        own.live = False
        if own.origin is not None and not own.origin.live:
            own.cut_origin()
        f.retries += own.retries
        f.notes |= own.notes
        Py_DECREF(<object>context)
    Py_XDECREF(waiter)
    if (f.retries or f.notes) and (<Route>f.route).is_inner and f.parent != NULL:
        hand_out(f)
    return 0


# The walk: what stages raise becomes the outcome.

# Its own slot, or NULL.
cdef inline Slot *slot_of(Frame *f, Step *step) noexcept:
    return &f.slots[step.slot] if step.slot >= 0 else NULL


# Inwards, from where the frame stands: CALL, PARK or, heading outwards, WALK.
cdef inline Action walk_in(Frame *f) noexcept:
    # hot: no allocation, no reference counting, no Python call but the stages' own
    # f.position is brought up to date where somebody else looks at it
    cdef Step *program = (<Route>f.route).program
    cdef Step *end = &program[f.depth]
    cdef Step *step = program[f.position].inward
    cdef int verdict
    while step < end:
        f.slot = slot_of(f, step)
        verdict = step.enter(step.stage, f)
        if verdict != PROCEED:
            f.position = <int>(step - program)
            if verdict == WAIT:
                return PARK
            stop(f, step, verdict)
            return WALK
        step = step[1].inward
    f.position = f.depth
    return CALL


# Outwards: DONE, PARK or, where another pass begins, WALK.
cdef inline Action walk_out(Frame *f) noexcept:
    # hot, as above, while there is a result
    cdef Step *step
    cdef int verdict
    if f.error != NULL or f.ending != NOT_ENDED:
        return walk_back(f)
    step = (<Route>f.route).program[f.position].outward
    while step != NULL:
        f.slot = slot_of(f, step)
        if not step.errors_only:
            verdict = step.leave(step.stage, f)
            if verdict != PROCEED or f.error != NULL:
                return walk_on(f, step, verdict)
        if f.slot != NULL and f.slot.object != NULL:
            drop_object(f.slot)
        step = step.outward
    f.position = 0
    return DONE


# Drop what a stage has kept for one pass.
cdef inline int drop_object(Slot *slot) noexcept:
    cdef PyObject *remembered = slot.object
    slot.object = NULL
    Py_DECREF(<object>remembered)
    return 0
