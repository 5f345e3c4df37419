"""Waiter: what one dispatch waits on, in a thread or on an event loop."""

from libc.stdint cimport int64_t


cdef class Waiter:
    cdef readonly bint woken            # since it was last re-armed
    cdef object lock                    # held while a thread blocks on it
    # While a task waits on it: the loop; the future and the timer, mostly weak.
    cdef object loop, future, timer

    # Wake whoever waits, from any thread. False: nobody can be woken any more (its loop
    # is closed), so a grant must pass on to the next one.
    cdef bint notify(self) except -1
    # Block this thread until woken, for at most timeout_ns (-1: no limit).
    cdef int block(self, int64_t timeout_ns) except -1
    # Bind to the running loop: the future to await. It ends when woken or in
    # timeout_ns.
    cdef object arm(self, int64_t timeout_ns)
    # Make it ready for another wait.
    cdef int rearm(self) except -1
