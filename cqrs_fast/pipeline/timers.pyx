"""The timers of an event loop: what interrupts async handlers at their deadlines.

The rules of `asyncio.timeout` (its `uncancel` protocol) with other costs: nothing is
made before a handler suspends, and what is pending is a heap in C with one timer of the
event loop for the nearest deadline, so that thousands cost the loop as little as one.

It is a pairing heap (Fredman, Sedgewick, Sleator and Tarjan, 1986) of nodes that lie in
the Timeouts: to add one is a single comparison, whether it is due before or after all
others, and needs no memory. No step of it is recursive.

A timer of an event loop costs more than the rest of a dispatch. Where handlers suspend
at a high rate, one after the other, the loop's timer is not taken back each time: it is
left to look at the heap again, in a second at most, and is not set again if that is
empty by then.
"""

cimport cython
from cpython.ref cimport PyObject

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.sealing cimport internal

from cqrs_fast.base.callbacks import report_callback_error

cdef enum:
    STEP_NS = 1_000_000_000     # a timer looks at the list that often …
    TAKEN_BACK = 32             # … in which so many are taken back, the others are left

# These are imported when the first handler suspends under a timeout.
cdef object current_task = None
cdef object running_loop = None         # asyncio's, which returns None for none
cdef object CancelledError = None
cdef object ref = None

# The heaps of each event loop, by clock; and the one that was used last.
cdef object heaps = None
cdef Timers latest = None


cdef int load_asyncio() except -1:
    global current_task, running_loop, CancelledError, ref, heaps
    import asyncio
    import weakref

    ref = weakref.ref
    heaps = weakref.WeakKeyDictionary()
    CancelledError = asyncio.CancelledError
    running_loop = asyncio._get_running_loop
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
@cython.no_gc_clear
cdef class Timeout:
    """What may interrupt a suspended handler; a dispatch keeps it for the next."""

    def __dealloc__(self):
        # Others in the heap point at its entry. `timers` is there still: no_gc_clear.
        if self.timers is not None:
            self.timers.remove(&self.entry)

    cdef bint begin(self, int64_t due_ns, Clock clock, Limit limit) except -1:
        if current_task is None:
            load_asyncio()
        loop = running_loop()
        task = None if loop is None else current_task(loop)
        if task is None:
            # Stepped by hand: nobody is there who could interrupt it.
            return False
        self.task = task
        self.round += 1
        self.cancelling = task.cancelling()
        self.limit = limit
        self.expired = False
        try:
            if clock is not None and clock.is_manual():
                self.clock = clock
                clock.set_alarm(max(due_ns - clock.now(), 0), self)
            else:
                self.entry.due_ns = due_ns
                self.entry.timeout = <PyObject *>self
                self.timers = timers_of(loop, clock)
                self.timers.add(&self.entry, loop)
        except BaseException:
            self.task = self.timers = self.clock = self.limit = None
            raise
        return True

    cdef bint end(self) except -1:
        task, self.task = self.task, None
        cdef Timers timers = self.timers
        if self.limit is not None:
            self.limit.end()
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
        cdef Limit limit = self.limit
        self.expired = True
        if limit is not None:
            limit.task = self.task
            limit.cancelling = self.cancelling
            limit.expired = True
        try:
            self.task.cancel()
        except BaseException:
            # Of a user's task class: nothing was interrupted.
            self.expired = False
            if limit is not None:
                limit.expired = False
            raise
        return 0

    def wake(self):
        """Expire soon, by a manual clock that any thread may move."""
        task = self.task
        alive = True
        if task is not None:
            try:
                task.get_loop().call_soon_threadsafe(self.expire_in, self.round)
            except RuntimeError:
                alive = False
        return alive

    def expire_in(self, int64_t round):
        """Expire unless the handler of that time has ended meanwhile."""
        if self.round == round:
            self.expire()


cdef Timers timers_of(object loop, Clock clock):
    global latest
    cdef Timers timers = latest
    if timers is not None and timers.clock is clock and timers.loop() is loop:
        return timers
    by_clock = heaps.get(loop)
    if by_clock is None:
        by_clock = heaps.setdefault(loop, {})
    timers = by_clock.get(clock)
    if timers is None:
        timers = Timers.__new__(Timers)
        timers.loop = ref(loop)
        timers.clock = clock
        by_clock[clock] = timers
    latest = timers
    return timers


@cython.final
cdef class Timers:
    """The deadlines that are pending on one event loop, by one clock."""

    cdef int add(self, Entry *entry, object loop) except -1:
        # hot: one comparison, whatever the number that is pending
        entry.child = entry.following = entry.preceding = NULL
        self.nearest = entry if self.nearest == NULL else meld(self.nearest, entry)
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
        self.remove(entry)
        if self.nearest == NULL and self.taken_back < TAKEN_BACK:
            handle = self.disarm()
            if handle is not None:
                self.taken_back += 1
                handle.cancel()
        return 0

    cdef int remove(self, Entry *entry) noexcept:
        """Take it out of the heap; no other code runs."""
        # hot: mostly there is nothing below it
        cdef Entry *below = NULL if entry.child == NULL else meld_all(entry.child)
        cdef Entry *preceding = entry.preceding
        entry.child = NULL
        if preceding == NULL:
            self.nearest = below
            return 0
        if preceding.child == entry:
            preceding.child = entry.following
        else:
            preceding.following = entry.following
        if entry.following != NULL:
            entry.following.preceding = preceding
        if below != NULL:
            self.nearest = meld(self.nearest, below)
        return 0

    cdef int arm(self, object loop, int64_t now_ns) except -1:
        """Let the loop's one timer be for the nearest deadline."""
        handle = self.disarm()
        if handle is not None:
            handle.cancel()
        if not 0 <= now_ns - self.step_ns < STEP_NS:
            self.step_ns = now_ns
            self.taken_back = 0
        self.armed_ns = max(now_ns, min(self.nearest.due_ns, now_ns + STEP_NS))
        delay = (self.armed_ns - now_ns) / 1e9
        # Not kept: it knows its loop, which would never be collected.
        self.handle = ref(loop.call_later(delay, self.fire))
        return 0

    cdef object disarm(self):
        """Return the timer of the loop, to be cancelled, or None."""
        handle, self.handle = self.handle, None
        return None if handle is None else handle()

    def fire(self):
        """Interrupt what is due, in the order of the deadlines."""
        # A loop may call a little early, and one in virtual time much: what its timer
        # was for is due all the same.
        cdef int64_t now_ns = self.armed_ns
        self.handle = None
        try:
            try:
                now_ns = max(now_ns, read_clock(self.clock))
            except Exception as error:
                report_callback_error("timer", "an event loop", error)
            while self.nearest != NULL and self.nearest.due_ns <= now_ns:
                self.expire_nearest()
        finally:
            # Whatever one of them raised: the others have deadlines too.
            if self.nearest != NULL and self.handle is None:
                loop = self.loop()
                if loop is not None:
                    self.arm(loop, now_ns)

    cdef int expire_nearest(self) except -1:
        timeout = <Timeout>self.nearest.timeout
        self.remove(self.nearest)
        (<Timeout>timeout).timers = None
        try:
            (<Timeout>timeout).expire()
        except Exception as error:
            # Of a user's task class.
            report_callback_error("timer", "an event loop", error)
        return 0


# The heap

cdef inline Entry *meld(Entry *one, Entry *other) noexcept:
    """Join two heaps; return the root, the one that is due first."""
    # hot
    cdef Entry *root = one
    cdef Entry *below = other
    if other.due_ns < one.due_ns:
        root = other
        below = one
    below.preceding = root
    below.following = root.child
    if root.child != NULL:
        root.child.preceding = below
    root.child = below
    return root


cdef Entry *meld_all(Entry *first) noexcept:
    """Join siblings: in pairs from the first, then these from the last."""
    cdef Entry *pairs = NULL            # the newest first, by `following`
    cdef Entry *root
    cdef Entry *next
    while first != NULL:
        root = first
        first = root.following
        root.following = root.preceding = NULL
        if first != NULL:
            next = first.following
            first.following = first.preceding = NULL
            root = meld(root, first)
            first = next
        root.following = pairs
        pairs = root
    root = pairs
    pairs = root.following
    root.following = NULL
    while pairs != NULL:
        next = pairs.following
        pairs.following = NULL
        root = meld(root, pairs)
        pairs = next
    return root


internal(Timeout)
internal(Timers)
