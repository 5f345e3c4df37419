"""The async driver: one awaitable that steps the handler's coroutine itself."""

from cpython.ref cimport PyObject

from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.frame cimport Frame, Slot
from cqrs_fast.pipeline.route cimport Route, Router
from cqrs_fast.pipeline.timers cimport Timeout
from cqrs_fast.waits.waiter cimport Waiter

cdef enum:
    # Slots inside the awaitable; a program in which more stages remember takes them
    # from the heap.
    INLINE_SLOTS = 8


cdef enum State:
    CREATED = 0         # nothing has happened
    RUNNING = 1
    SUSPENDED = 2       # awaits `inner`
    FINISHED = 3


cdef enum Sent:         # PySendResult
    RETURNED = 0
    FAILED = -1
    YIELDED = 1


cdef class Dispatch:
    # Where it goes: the route, or who finds it at the first step
    cdef Router router
    cdef Route route
    cdef object message
    cdef Context context
    # What it awaits
    cdef object inner               # the iterator of a handler's awaitable or of a wait
    cdef Waiter waiter              # while a stage waits
    cdef Timeout timeout            # that may interrupt it, kept for the next time
    cdef object cancellation        # that an outer timeout's expiry came as, or None
    cdef object origin              # where it was made, if asyncio tracks that, or None
    # Where it stands
    cdef State state
    cdef bint counted               # among the flights of its route
    cdef bint timed                 # the timeout has begun
    cdef object refused             # why it may not start, or None
    cdef Frame frame
    cdef Slot slots[INLINE_SLOTS]
    cdef Slot *many                 # instead, on the heap

    # Each of the next four does one thing that a coroutine does. YIELDED: `out` is what
    # the event loop gets; RETURNED: the result; FAILED: an exception is raised.
    cdef Sent resume(self, PyObject *sent, PyObject **out) noexcept
    cdef Sent raise_in(self, object error, PyObject **out) noexcept
    cdef Sent drive(self, PyObject **out) noexcept
    cdef Sent finish(self, PyObject **out) noexcept

    cdef int note_origin(self) except -1
    cdef int begin(self) except -1
    cdef int refuse(self, PyObject *parent) noexcept
    cdef int end(self) noexcept
    # True: suspended, with `out` for the event loop.
    cdef bint call_handler(self, PyObject **out) noexcept
    cdef bint awaits_next(self, PyObject *promise) noexcept
    cdef bint park(self, PyObject **out) noexcept
    cdef bint step_inner(self, PyObject *sent, PyObject **out) noexcept
    cdef bint settle(self, Sent sent, PyObject *value, PyObject **out) noexcept
    cdef int begin_timeout(self) noexcept
    cdef int end_timeout(self) noexcept
    cdef int explain_cancellation(self) noexcept
    cdef int hand_on_cancellation(self) noexcept
    cdef Sent throw_inner(self, object error, PyObject **value) noexcept


# The awaitable of one dispatch; exactly one of router and route is given.
cdef Dispatch new_dispatch(Router router, Route route, object message, Context context)
