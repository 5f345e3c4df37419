"""The async driver: one awaitable that steps the handler's coroutine itself."""

from cpython.ref cimport PyObject

from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.coroutine cimport Coroutine, Sent
from cqrs_fast.pipeline.frame cimport Frame, Slot
from cqrs_fast.pipeline.route cimport Router
from cqrs_fast.pipeline.timers cimport Timeout

cdef enum:
    # Slots inside the awaitable; a program in which more stages remember takes them
    # from the heap.
    INLINE_SLOTS = 8
    FRAMELESS = 1       # of `begin`: nothing but the handler is to be called


cdef class Dispatch(Coroutine):
    # Where it goes: who finds the route at the first step, unless that is known
    cdef Router router
    cdef Context context
    # What it awaits
    cdef object waiter              # while a stage waits: its Waiter, or Await
    cdef Timeout timeout            # that may interrupt it, kept for the next time
    cdef object cancellation        # that an outer timeout's expiry came as, or None
    # Where it stands
    cdef bint counted               # among the flights of its route
    cdef bint timed                 # the timeout has begun
    cdef object refused             # why it may not start, or None
    cdef Frame frame
    cdef Slot slots[INLINE_SLOTS]
    cdef Slot *many                 # instead, on the heap

    # As `resume`: what a coroutine does from here on, and at its end.
    cdef Sent drive(self, PyObject **out) noexcept
    cdef Sent finish(self, PyObject **out) noexcept

    cdef Sent run_frameless(self, PyObject **out) noexcept
    cdef int note_origin(self) except -1
    cdef int start_frame(self, Slot *slots) noexcept
    cdef int refuse(self) noexcept
    # True: suspended, with `out` for the event loop.
    cdef bint call_handler(self, PyObject **out) noexcept
    cdef bint awaits_next(self, PyObject *promise) noexcept
    cdef bint park(self, PyObject **out) noexcept
    cdef bint await_for_stage(self, PyObject **out) noexcept
    cdef bint step_inner(self, PyObject *sent, PyObject **out) noexcept
    cdef bint settle(self, Sent sent, PyObject *value, PyObject **out) noexcept
    cdef int begin_timeout(self) noexcept
    cdef int explain_cancellation(self) noexcept
