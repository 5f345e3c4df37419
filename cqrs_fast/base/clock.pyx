"""Monotonic time in int64 nanoseconds, and the alarms of manual clocks."""

cimport cython

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.base.system_clock cimport monotonic_ns


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

    A wait on this clock ends when `advance` reaches its time, in any thread or event
    loop. Safe to use from any thread.
    """

    cdef int64_t reading
    cdef list alarms  # [due_ns, waiter] in no order: a test has few
    cdef readonly bint auto_advance

    def __init__(self, start=0.0, *, auto_advance=False):
        """Check and keep the parameters: the class describes them."""
        self.reading = seconds_to_ns(start)
        self.alarms = []
        self.auto_advance = auto_advance

    cdef int64_t now(self) except? -1:
        return self.reading

    cdef bint waits_really(self, int64_t delay_ns, object waiter) except -1:
        if self.auto_advance:
            self.move(delay_ns)
            waiter.wake()
        else:
            self.alarms.append((self.reading + delay_ns, waiter))
        return False

    cdef bint set_alarm(self, int64_t delay_ns, object waiter) except -1:
        self.alarms.append((self.reading + delay_ns, waiter))
        return True

    cdef bint is_manual(self) noexcept:
        return True

    cdef int forget(self, object waiter) except -1:
        self.alarms = [alarm for alarm in self.alarms if alarm[1] is not waiter]
        return 0

    def advance(self, seconds):
        """Move by `seconds`; a negative number moves the clock back.

        Waits that are due are woken before this returns.
        """
        self.move(seconds_to_ns(seconds))

    cdef int move(self, int64_t delay_ns) except -1:
        self.reading += delay_ns
        due = [waiter for due_ns, waiter in self.alarms if due_ns <= self.reading]
        self.alarms = [alarm for alarm in self.alarms if alarm[0] > self.reading]
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
