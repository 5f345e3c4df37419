"""Announcer: the transitions of a circuit breaker on their way to a callback."""

cimport cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.pythread cimport PyThread_get_thread_ident

from cqrs_fast.base.sealing cimport internal
from cqrs_fast.policies.core.circuit_breaker cimport Change, Changes

from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.policies.circuit_state import STATES, CircuitEvent

cdef enum:
    FIRST_ROOM = 8              # transitions; the ring doubles when it is full …
    MOST_ROOM = 1 << 16         # … up to here
    MOST_ECHOES = 1000          # transitions that callbacks may make in one delivery


@cython.final
cdef class Announcer:
    """A queue of transitions for a callback, which gets each one once and in order.

    The GIL is held from a decision until its transitions are in the queue, and no
    Python code runs in between. The first caller of `deliver` delivers for all others.
    """

    def __dealloc__(self):
        PyMem_RawFree(self.waiting)

    cdef int put(self, const Changes *changes) noexcept:
        cdef int index
        cdef bint echo = (
            self.delivering and self.deliverer == PyThread_get_thread_ident()
        )
        for index in range(changes.count):
            # A callback that answers each transition with another would never end.
            self.echoes += echo
            if echo and self.echoes > MOST_ECHOES or not make_room(self):
                self.lost += 1
                continue
            self.waiting[(self.first + self.count) % self.size] = changes.made[index]
            self.count += 1
        return 0

    cdef int deliver(self) except -1:
        cdef Change change
        if self.delivering:
            return 0
        self.delivering = True
        self.deliverer = PyThread_get_thread_ident()
        self.echoes = 0
        try:
            while self.count > 0:
                change = self.waiting[self.first]
                self.first = (self.first + 1) % self.size
                self.count -= 1
                notify(self, &change)
            if self.lost:
                lost, self.lost = self.lost, 0
                error = RuntimeError(f"{lost} transitions came too fast to be reported")
                report_callback_error("on_event", self.name or "a breaker", error)
        finally:
            self.delivering = False
        return 0


cdef bint make_room(Announcer announcer) noexcept:
    cdef Py_ssize_t index
    cdef Py_ssize_t size = announcer.size * 2 if announcer.size else FIRST_ROOM
    cdef Change *larger
    if announcer.count < announcer.size:
        return True
    if size > MOST_ROOM:
        return False
    larger = <Change *>PyMem_RawMalloc(size * sizeof(Change))
    if larger == NULL:
        return False
    for index in range(announcer.count):
        larger[index] = announcer.waiting[(announcer.first + index) % announcer.size]
    PyMem_RawFree(announcer.waiting)
    announcer.waiting = larger
    announcer.size = size
    announcer.first = 0
    return True


cdef int notify(Announcer announcer, const Change *change) except -1:
    listener = announcer.listener
    if listener is None:
        return 0
    try:
        listener(
            CircuitEvent(
                announcer.name,
                STATES[change.before],
                STATES[change.after],
                change.failures,
                change.number,
            )
        )
    except Exception as error:
        report_callback_error("on_event", announcer.name or "a breaker", error)
    return 0


internal(Announcer)
