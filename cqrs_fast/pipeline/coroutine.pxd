"""What an awaitable does as a coroutine does: its face to Python, its errors."""

from cpython.ref cimport PyObject

from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.route cimport Route


cdef enum State:
    CREATED = 0         # nothing has happened
    RUNNING = 1
    SUSPENDED = 2       # awaits `inner`
    FINISHED = 3


cdef enum Sent:         # PySendResult
    RETURNED = 0
    FAILED = -1
    YIELDED = 1


cdef class Coroutine:
    """What is to an event loop, a task or a debugger as a coroutine is."""

    cdef Route route                # that it goes along, or None: not known yet
    cdef object message
    cdef object inner               # the iterator of what it awaits, or None
    cdef object origin              # where it was made, if asyncio tracks that, or None
    cdef State state

    # Step it, and raise in it. YIELDED: `out` is what the event loop gets; RETURNED:
    # the result; FAILED: an exception is raised.
    cdef Sent resume(self, PyObject *sent, PyObject **out) noexcept
    cdef Sent raise_in(self, object error, PyObject **out) noexcept
    cdef int begin(self) except -1
    cdef int end(self) noexcept
    cdef int shut(self) except -1


# A GeneratorExit to raise in it; never fails.
cdef object exit_error()
# Steal the error of a handler and return what a coroutine would raise (PEP 479).
cdef PyObject *coroutine_error(str name, PyObject *error) noexcept
# Raise why it cannot be stepped in this state.
cdef int raise_misuse(State state) noexcept
# Raise `error` in what a frame awaits, the way a coroutine delegates a throw.
cdef Sent throw_into(
    Frame *f, object inner, object error, PyObject **value
) noexcept
