"""Waiter: what one dispatch waits on, in a thread or on an event loop."""

from libc.stdint cimport int64_t


cdef class Waiter:
    cdef readonly bint woken            # since it was last re-armed
    cdef object lock                    # held while a thread blocks on it
    # While a task waits: the loop; the future and the timer, weak if possible.
    cdef object loop, future, timer

    # Wake the waiting thread or task, from any thread. False: its event loop is closed,
    # so a grant must pass on to the next one.
    cdef bint notify(self) except -1
    # Block this thread until woken, for at most timeout_ns (-1: no limit).
    cdef int block(self, int64_t timeout_ns) except -1
    # A future of the running loop, done when woken or after timeout_ns.
    cdef object arm(self, int64_t timeout_ns)
    # Make it ready for another wait.
    cdef int rearm(self) except -1
