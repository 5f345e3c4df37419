"""The timers of an event loop: what interrupts async handlers at their deadlines.

The rules of `asyncio.timeout` (its `uncancel` protocol) with other costs: nothing is
made before a handler suspends, and what is pending is a linked list in C with one timer
of the event loop for the nearest deadline, so that thousands cost the loop as little as
one.

A timer of an event loop costs more than the rest of a dispatch. Where handlers suspend
at a high rate, one after the other, the loop's timer is not taken back each time: it is
left to look at the list again, in a second at most, and is not set again if that is
empty by then.
"""

cimport cython
from cpython.ref cimport PyObject

from cqrs_fast.clock cimport Clock, read_clock, tick_of

from cqrs_fast.callbacks import report

cdef enum:
    STEP_NS = 1_000_000_000     # a timer looks at the list that often …
    TAKEN_BACK = 32             # … in which so many are taken back, the others are left

# These are imported when the first handler suspends under a timeout.
cdef object current_task = None
cdef object get_running_loop = None
cdef object CancelledError = None
cdef object ref = None

# The lists of each event loop, by clock; and the one that was used last.
cdef object lists = None
cdef Timers latest = None


cdef int load_asyncio() except -1:
    global current_task, get_running_loop, CancelledError, ref, lists
    import asyncio
    import weakref

    ref = weakref.ref
    lists = weakref.WeakKeyDictionary()
    CancelledError = asyncio.CancelledError
    get_running_loop = asyncio.get_running_loop
    current_task = asyncio.current_task
    return 0


cdef bint is_cancellation(PyObject *error) noexcept:
    if CancelledError is None:
        # Whoever raises one has it loaded, and so has a loop.
        import sys

        exceptions = sys.modules.get("asyncio.exceptions")
        return exceptions is not None and isinstance(
            <object>error, exceptions.CancelledError
        )
    return isinstance(<object>error, CancelledError)


@cython.final
@cython.auto_pickle(False)
cdef class Timeout:
    """What may interrupt a suspended handler; a dispatch keeps it for the next."""

    cdef bint begin(self, int64_t due_ns, Clock clock, Limit limit) except -1:
        if current_task is None:
            load_asyncio()
        try:
            loop = get_running_loop()
        except RuntimeError:
            # Stepped by hand: nobody is there who could interrupt it.
            return False
        task = current_task(loop)
        if task is None:
            return False
        self.task = task
        self.round += 1
        self.cancelling = task.cancelling()
        self.limit = limit
        self.expired = False
        if clock is not None and clock.is_manual():
            self.clock = clock
            clock.set_alarm(max(due_ns - clock.now(), 0), self)
        else:
            self.entry.due_ns = due_ns
            self.entry.timeout = <PyObject *>self
            self.timers = timers_of(loop, clock)
            try:
                self.timers.add(&self.entry, loop)
            except BaseException:
                self.task = self.timers = self.limit = None
                raise
        return True

    cdef bint end(self) except -1:
        task, self.task = self.task, None
        cdef Timers timers = self.timers
        self.limit = None
        if self.clock is not None:
            clock, self.clock = self.clock, None
            (<Clock>clock).forget(self)
        if timers is not None:
            self.timers = None
            timers.take(&self.entry)
        if not self.expired:
            return False
        return task.uncancel() <= self.cancelling

    cdef int expire(self) except -1:
        if self.task is None or self.expired:
            return 0
        self.expired = True
        if self.limit is not None:
            self.limit.task = self.task
            self.limit.cancelling = self.cancelling
            self.limit.expired = True
        self.task.cancel()
        return 0

    def wake(self):
        """Expire soon, by a manual clock that any thread may move."""
        task = self.task
        if task is not None:
            try:
                task.get_loop().call_soon_threadsafe(self.expire_in, self.round)
            except RuntimeError:
                return False
        return True

    def expire_in(self, int64_t round):
        """Expire unless the handler of that time has ended meanwhile."""
        if self.round == round:
            self.expire()


cdef Timers timers_of(object loop, Clock clock):
    global latest
    cdef Timers timers = latest
    if timers is not None and timers.clock is clock and timers.loop() is loop:
        return timers
    by_clock = lists.get(loop)
    if by_clock is None:
        by_clock = lists.setdefault(loop, {})
    timers = by_clock.get(clock)
    if timers is None:
        timers = Timers.__new__(Timers)
        timers.loop = ref(loop)
        timers.clock = clock
        timers.ends.earlier = timers.ends.later = &timers.ends
        by_clock[clock] = timers
    latest = timers
    return timers


@cython.final
@cython.auto_pickle(False)
cdef class Timers:
    """The deadlines that are pending on one event loop, by one clock."""

    cdef int add(self, Entry *entry, object loop) except -1:
        # hot: deadlines mostly come in order, so its place is at the end
        cdef Entry *before = self.ends.earlier
        while before != &self.ends and before.due_ns > entry.due_ns:
            before = before.earlier
        entry.earlier = before
        entry.later = before.later
        before.later.earlier = entry
        before.later = entry
        if self.handle is None or entry.due_ns < self.armed_ns:
            try:
                self.arm(loop, read_clock(self.clock))
            except BaseException:
                # Of a user's clock or event loop: nobody will take it out.
                self.take(entry)
                raise
        return 0

    cdef int take(self, Entry *entry) except -1:
        # hot
        if entry.later == NULL:
            return 0
        entry.earlier.later = entry.later
        entry.later.earlier = entry.earlier
        entry.earlier = entry.later = NULL
        if self.ends.later == &self.ends and self.taken_back < TAKEN_BACK:
            handle, self.handle = self.handle, None
            if handle is not None:
                self.taken_back += 1
                handle.cancel()
        return 0

    cdef int arm(self, object loop, int64_t now_ns) except -1:
        """Let the loop's one timer be for the nearest deadline."""
        handle, self.handle = self.handle, None
        if handle is not None:
            handle.cancel()
        if not 0 <= now_ns - self.step_ns < STEP_NS:
            self.step_ns = now_ns
            self.taken_back = 0
        self.armed_ns = max(now_ns, min(self.ends.later.due_ns, now_ns + STEP_NS))
        delay = (self.armed_ns - now_ns + tick_of(self.clock)) / 1e9
        self.handle = loop.call_later(delay, self.fire)
        return 0

    def fire(self):
        """Interrupt what is due, in the order of the deadlines."""
        # A loop may call a little early, and one in virtual time much: what its timer
        # was for is due all the same.
        cdef int64_t now_ns = self.armed_ns
        cdef Entry *entry
        self.handle = None
        try:
            now_ns = max(now_ns, read_clock(self.clock))
        except Exception as error:
            report("timer", "an event loop", error)
        entry = self.ends.later
        while entry != &self.ends and entry.due_ns <= now_ns:
            timeout = <Timeout>entry.timeout
            self.take(entry)
            (<Timeout>timeout).timers = None
            (<Timeout>timeout).expire()
            entry = self.ends.later
        if entry != &self.ends and self.handle is None:
            loop = self.loop()
            if loop is not None:
                self.arm(loop, now_ns)
