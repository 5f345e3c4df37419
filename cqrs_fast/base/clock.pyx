"""Monotonic time in int64 nanoseconds, and the alarms of manual clocks."""

cimport cython

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.base.system_clock cimport monotonic_ns

from cqrs_fast.base.arguments import seconds_to_ns as checked_ns


cdef class Clock:
    """Read the monotonic time of the system in nanoseconds; tests use ManualClock."""

    cdef int64_t now(self) except? -1:
        return monotonic_ns()

    cdef bint waits_really(self, int64_t delay_ns, object waiter) except -1:
        return True

    cdef bint set_alarm(self, int64_t delay_ns, object waiter) except -1:
        return False

    cdef bint is_manual(self) noexcept:
        return False

    cdef int forget(self, object waiter) except -1:
        return 0

    def __call__(self):
        """Return the present reading in nanoseconds."""
        return self.now()


# Who waits without a dispatch.
cdef str UNNAMED = "a policy or pool that is used alone"


@cython.final
cdef class CallableClock(Clock):
    """A user's callable as a clock; its waits take real time."""

    cdef object read

    cdef int64_t now(self) except? -1:
        return self.read()


@cython.final
cdef class ManualClock(Clock):
    """A clock that only moves by `advance`.

    Parameters:
        start: the first reading, in seconds.
        auto_advance: a wait on this clock advances it at once instead of blocking, so
            that a test of one thread never hangs.
        patience: seconds of real time. A wait that stands for so long, while nobody
            advances the clock, raises RuntimeError with the names of all that wait.

    A wait on this clock ends when `advance` reaches its time, in any thread or event
    loop. Raises TypeError or ValueError for an invalid argument. Safe to use from any
    thread.
    """

    cdef int64_t reading
    cdef list alarms  # (due_ns, waiter, is it a wait) in no order: a test has few
    cdef readonly bint auto_advance
    cdef int64_t patience_ns
    cdef object watchdog        # a timer in real time while there are waits, or None
    cdef int64_t moves, watched_moves   # now, and when the watchdog began
    cdef dict abandoned         # address of a waiter: why its wait fails

    def __init__(self, start=0.0, *, auto_advance=False, patience=5.0):
        """Check and keep the parameters: the class describes them."""
        self.reading = seconds_to_ns(start)
        self.alarms = []
        self.auto_advance = auto_advance
        self.patience_ns = checked_ns("patience", patience)
        self.abandoned = {}

    cdef int64_t now(self) except? -1:
        return self.reading

    cdef bint waits_really(self, int64_t delay_ns, object waiter) except -1:
        if self.auto_advance:
            self.move(delay_ns)
            waiter.wake()
        else:
            self.alarms.append((self.reading + delay_ns, waiter, True))
            self.watch()
        return False

    cdef bint set_alarm(self, int64_t delay_ns, object waiter) except -1:
        self.alarms.append((self.reading + delay_ns, waiter, False))
        return True

    cdef bint is_manual(self) noexcept:
        return True

    cdef int forget(self, object waiter) except -1:
        self.alarms = [alarm for alarm in self.alarms if alarm[1] is not waiter]
        self.rest()
        text = self.abandoned.pop(id(waiter), None)
        if text is not None:
            raise RuntimeError(text)
        return 0

    cdef int watch(self) except -1:
        from threading import Timer

        if self.watchdog is None:
            self.watched_moves = self.moves
            timer = Timer(self.patience_ns / 1e9, self._run_out)
            timer.daemon = True
            self.watchdog = timer
            timer.start()
        return 0

    cdef int rest(self) except -1:
        """Stop the watchdog once nobody waits."""
        if self.watchdog is not None and not self.waits():
            self.watchdog.cancel()
            self.watchdog = None
        return 0

    cdef list waits(self):
        cdef list found = []
        for _, waiter, stands in self.alarms:
            if stands:
                found.append(waiter)
        return found

    def _run_out(self):
        """Fail all waits if the clock stood still for so long; the watchdog calls it."""
        cdef list waits = self.waits()
        self.watchdog = None
        if not waits:
            return
        if self.moves != self.watched_moves:
            self.watch()
            return
        names = sorted({getattr(one, "label", None) or UNNAMED for one in waits})
        text = (
            f"nobody advanced this ManualClock for {self.patience_ns / 1e9:g} s of real "
            f"time; on it wait: {', '.join(names)}. Call clock.advance(seconds) in "
            "another thread or task, or make it with auto_advance=True"
        )
        for one in waits:
            self.abandoned[id(one)] = text
        self.alarms = [alarm for alarm in self.alarms if not alarm[2]]
        wake_all(waits)

    def advance(self, seconds):
        """Move by `seconds`; a negative number moves the clock back.

        Waits that are due are woken before this returns.
        """
        self.move(seconds_to_ns(seconds))

    cdef int move(self, int64_t delay_ns) except -1:
        self.reading += delay_ns
        self.moves += 1
        due = [waiter for due_ns, waiter, _ in self.alarms if due_ns <= self.reading]
        self.alarms = [alarm for alarm in self.alarms if alarm[0] > self.reading]
        self.rest()
        return wake_all(due)

    @property
    def waiting(self):
        """The number of waits that this clock has not ended yet."""
        return len(self.alarms)

    def __repr__(self):
        return f"ManualClock({self.reading / 1e9!r})"


cdef int64_t seconds_to_ns(object seconds) except? -1:
    return round(seconds * 1_000_000_000)


cdef int wake_all(object waiters) except -1:
    failure = None
    for waiter in waiters:
        try:
            waiter.wake()
        except BaseException as error:
            failure = error
    if failure is not None:
        raise failure
    return 0


cdef Clock as_clock(object clock):
    if clock is None or isinstance(clock, Clock):
        return clock
    if not callable(clock):
        raise TypeError(f"clock must be callable and return nanoseconds, got {clock!r}")
    cdef CallableClock wrapped = CallableClock.__new__(CallableClock)
    wrapped.read = clock
    return wrapped


signed(ManualClock)
constructed(ManualClock)
internal(CallableClock)
