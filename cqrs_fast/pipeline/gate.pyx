"""The gate of a bus: what is in flight, and how it drains."""

cimport cython
from cpython.exc cimport PyErr_Occurred
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.ref cimport PyObject

from cqrs_fast.base.clock cimport wake_all
from cqrs_fast.base.errstate cimport raise_again, take_raised
from cqrs_fast.base.forks cimport on_fork
from cqrs_fast.base.rejection cimport Rejection
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.base.system_clock cimport monotonic_ns
from cqrs_fast.context cimport NO_DEADLINE
from cqrs_fast.waits.waiter cimport Waiter

import msgspec

from cqrs_fast.domain_errors import DomainError
from cqrs_fast.errors import BusClosedError


cdef Rejection closed = Rejection(BusClosedError)


class DrainReport(msgspec.Struct, frozen=True):
    """Tell how a close ended.

    Attributes:
        drained: whether every admitted call finished in time.
        still_running: the registered names of calls that did not, sorted.
        waited: seconds that close waited.
    """

    drained: bool
    still_running: list[str]
    waited: float


@cython.final
cdef class InFlight:
    """The calls in flight of one registered name."""

    def __cinit__(self):
        self.count = <int64_t *>PyMem_Calloc(1, sizeof(int64_t))
        if self.count == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.count)


@cython.final
cdef class Gate:
    """Count what is in flight and let no new root dispatch in once it drains."""

    def __init__(self, str bus not None):
        self.bus = bus
        self.loop_block_ns = NO_DEADLINE
        self.counters = {}
        self.domain_errors = (DomainError,)
        self.parked = set()
        self.closers = set()
        on_fork(self)

    def _after_fork(self):
        cdef InFlight counter
        for counter in list(self.counters.values()):
            counter.count[0] = 0
        self.parked = set()
        self.closers = set()

    cdef InFlight counter_of(self, str name):
        cdef InFlight counter = self.counters.get(name)
        if counter is None:
            counter = InFlight.__new__(InFlight)
            counter.name = name
            counter = self.counters.setdefault(name, counter)
        return counter

    cdef int64_t in_flight(self) except -1:
        cdef int64_t total = 0
        cdef InFlight counter
        for counter in list(self.counters.values()):
            total += counter.count[0]
        return total

    cdef int left(self) noexcept:
        # What has left may have raised: that is on its way to the caller.
        cdef PyObject *raised = take_raised() if PyErr_Occurred() != NULL else NULL
        self.notify_closers()
        if raised != NULL:
            raise_again(raised)
        return 0

    cdef int notify_closers(self) noexcept:
        if self.closers and self.in_flight() == 0:
            wake_all(list(self.closers))
        return 0

    cdef object refusal(self, str name):
        return closed.fresh(None, self.bus, name)

    def drain(self):
        """Refuse new root dispatches and end every wait of those in flight."""
        self.draining = True
        wake_all(list(self.parked))

    def enter_close(self):
        """Start to drain; return a Waiter that is woken when nothing is in flight."""
        waiter = Waiter()
        self.closers.add(waiter)
        self.drain()
        if self.in_flight() == 0:
            waiter.wake()
        return waiter

    def leave_close(self, Waiter waiter not None, int64_t started_ns):
        """End one close and report what is still running."""
        cdef InFlight counter
        self.closers.discard(waiter)
        self.closed = True
        running = []
        for counter in list(self.counters.values()):
            if running_calls(counter):
                running.append(counter.name)
        waited = (monotonic_ns() - started_ns) / 1e9
        return DrainReport(not running, sorted(running), waited)

    def close(self, timeout):
        """Drain, blocking this thread for at most `timeout` seconds."""
        timeout_ns = timeout_to_ns(timeout)
        started_ns = monotonic_ns()
        cdef Waiter waiter = self.enter_close()
        try:
            waiter.block(timeout_ns)
        finally:
            report = self.leave_close(waiter, started_ns)
        return report

    def arm_close(self, Waiter waiter not None, timeout):
        """Return the future that a close on an event loop awaits."""
        return waiter.arm(timeout_to_ns(timeout))


async def close_gate(Gate gate not None, timeout):
    """Drain `gate`, leaving the event loop free for the calls in flight."""
    timeout_to_ns(timeout)
    started_ns = monotonic_ns()
    waiter = gate.enter_close()
    try:
        await gate.arm_close(waiter, timeout)
    finally:
        (<Waiter>waiter).rearm()
        report = gate.leave_close(waiter, started_ns)
    return report


cdef bint running_calls(InFlight counter) noexcept:
    return counter.count[0] > 0


cdef int64_t timeout_to_ns(object timeout) except -2:
    """Check a close's timeout in seconds; None waits for as long as it takes."""
    if timeout is None:
        return -1
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be seconds or None, got {timeout!r}")
    if not 0 <= timeout < 1e9:
        raise ValueError(f"timeout must be from 0 to 1e9 seconds, got {timeout!r}")
    return round(timeout * 1_000_000_000)


constructed(Gate)
internal(InFlight)
