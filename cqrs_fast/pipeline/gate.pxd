"""The gate of a bus: what is in flight, and how it drains."""

from libc.stdint cimport int64_t

from cqrs_fast.waits.waiter cimport Waiter


cdef class InFlight:
    """The calls in flight of one registered name."""

    cdef readonly str name
    cdef int64_t *count     # apart: those of many names lie in few lines of memory
    cdef bint held_loop     # logged: its handler held the event loop


cdef class Gate:
    cdef bint draining              # new root dispatches are rejected
    cdef bint closed                # drained, or given up at the timeout
    cdef str bus                    # what the bus is called in errors
    cdef tuple domain_errors        # its classes of errors that are answers
    cdef int64_t loop_block_ns      # a handler may hold the event loop so long
    cdef dict counters              # name -> InFlight
    cdef set parked                 # Waiters of dispatches: a drain wakes them
    cdef set closers                # Waiters of close(): the last call out wakes them
    cdef object __weakref__

    cdef InFlight counter_of(self, str name)
    cdef int64_t in_flight(self) except -1
    # Tell the closers once nothing is in flight; for drivers, when draining.
    cdef int left(self) noexcept
    cdef int notify_closers(self) noexcept
    # A fresh BusClosedError for a dispatch of `name`.
    cdef object refusal(self, str name)
