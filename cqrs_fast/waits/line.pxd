"""Line: those who wait for one thing, first come, first served."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from cqrs_fast.waits.waiter cimport Waiter


cdef class Ticket:
    """One who waits. Whoever waits owns it; the line only points at it."""

    cdef Waiter waiter          # None for one that never waits
    cdef Line line              # that it stands in or was granted something by, or None
    cdef object owner           # of the line, which it must not outlive
    cdef PyObject *before
    cdef PyObject *behind
    cdef int64_t due_ns         # when it expects to be served, where that is known
    cdef int64_t until_ns       # when it gives up
    cdef int64_t number         # the later it came the greater, where that is counted
    cdef uint32_t forks         # the fork_count that it came under
    cdef bint queued            # it stands in the line
    cdef bint granted           # what it waited for was handed over to it
    cdef bint passed            # it was passed over, for it does not act


cdef class Line:
    cdef PyObject *first        # borrowed, NULL when empty
    cdef PyObject *last
    cdef readonly int64_t length

    # Neither of the next three runs any other code, so they may be part of a step that
    # must not be interrupted. To the end of the line:
    cdef int append(self, Ticket ticket) noexcept
    cdef int remove(self, Ticket ticket) noexcept
    # Nobody stands in it any more; who stepped on would find its ticket taken out.
    cdef int forget_all(self) noexcept
    # Leave the line, or give back what was granted; again, do nothing. A ticket that is
    # freed does so by itself.
    cdef int leave(self, Ticket ticket) except -1


# A ticket to stand in a line with.
cdef Ticket new_ticket()

# Wake who waits with it. False: its event loop is closed, it will never act again.
cdef bint wake(Ticket ticket) except -1
