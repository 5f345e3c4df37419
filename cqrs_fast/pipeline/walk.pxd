"""The walk along a route, compiled into both drivers. Open last.

These functions hold no references of their own: the route keeps its stages alive and
the driver the route and the message.
"""

from cpython.ref cimport Py_DECREF, Py_XDECREF, PyObject
from libc.stdint cimport int64_t, uint32_t

from cqrs_fast.base.calling cimport call_one
from cqrs_fast.base.counter_clock cimport counted_ns
from cqrs_fast.base.forks cimport fork_count
from cqrs_fast.base.system_clock cimport monotonic_ns
from cqrs_fast.context cimport NO_DEADLINE, Context
from cqrs_fast.pipeline.endings cimport run_endings
from cqrs_fast.pipeline.frame cimport (
    AGAIN, ENDINGS, NOT_ENDED, PROCEED, STOP, Frame, Slot,
)
from cqrs_fast.pipeline.frame_ops cimport end_limit
from cqrs_fast.pipeline.gate cimport Gate
from cqrs_fast.pipeline.program cimport COUNTED, EXACT, Reading, Step
from cqrs_fast.pipeline.route cimport MESSAGE, Route


cdef enum Action:
    CALL = 0                # the driver calls the handler
    PARK = 1                # the driver waits
    DONE = 2                # the outcome is final
    WALK = 3                # the driver walks on, in the frame's direction


# A stage said STOP on the way in, or raised: head outwards.
cdef int stop(Frame *f, Step *step, int verdict) noexcept

# A stage said WAIT, AWAIT or AGAIN on the way out: what the driver does now.
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

# Tell the dispatch whose around is outside what this part of it came to.
cdef int hand_out(PyObject *parent, uint32_t retries, uint32_t notes) noexcept

# End a stage's wait from outside: it is left once, with `error`.
cdef int end_wait(Frame *f, object error) noexcept

# Call a handler that takes the context, or an around.
cdef PyObject *invoke_in_context(Frame *f, PyObject *callee) except NULL
# The same with its NULL as a value, where a Cython call would jump to an error label.
ctypedef PyObject *(*Invocation)(Frame *f, PyObject *callee) noexcept

# The steps that both drivers take in every dispatch, compiled into each.

# One of those in flight has ended; `forks` are those before it began.
cdef inline int count_out(
    int64_t *in_flight, PyObject *gate, uint32_t forks
) noexcept:
    # A fork meanwhile has set the child's counts to zero.
    if forks == fork_count:
        in_flight[0] -= 1
    if (<Gate>gate).draining:
        (<Gate>gate).left()
    return 0


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
    return route.clock.now()


cdef inline int read_now(Frame *f, PyObject *route) noexcept:
    # hot: without an error to look for, but where users' code may raise one
    cdef Reading reading = (<Route>route).reading
    if reading == COUNTED:
        f.now_ns = counted_ns()
    elif reading == EXACT:
        f.now_ns = monotonic_ns()
    else:
        read_end(f, <Route>route)
    return 0


# Whether it is to be found out first if the dispatch may begin.
cdef inline bint needs_look(Route route, Context context) noexcept:
    if route.gate.draining:
        return True
    return context is not None and context.state.limited


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
    f.deadline_ns = f.published_ns = f.sampled_ns = NO_DEADLINE
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
    return (<Route>f.route).calls_user_code and f.deadline_ns != NO_DEADLINE


# Call the handler as the route's form says: a new reference, or NULL with an exception.
cdef inline PyObject *invoke(Frame *f, PyObject *callee) noexcept:
    if (<Route>f.route).form == MESSAGE:
        return call_one(callee, f.message)
    return (<Invocation>invoke_in_context)(f, callee)


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
        if own.notes & ENDINGS:
            run_endings(own)
        f.retries += own.retries
        f.notes |= own.notes
        Py_DECREF(<object>context)
    Py_XDECREF(waiter)
    if (f.retries or f.notes) and (<Route>f.route).is_inner and f.parent != NULL:
        hand_out(f.parent, f.retries, f.notes)
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
            if verdict > STOP and verdict != AGAIN:
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
        if not step.skips_results:
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
