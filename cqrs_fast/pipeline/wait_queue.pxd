"""WaitQueue: the dispatches that wait for one thing, first come, first served."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t

from cqrs_fast.clock cimport Clock
from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.waiter cimport Waiter


cdef class Place:
    """One dispatch in a queue. Its slot owns it; the queue only points at it."""

    cdef Waiter waiter
    cdef WaitQueue queue                # while it stands in one
    cdef PyObject *before
    cdef PyObject *behind
    cdef int64_t due_ns                 # when it looks again by itself
    cdef int64_t until_ns               # when it gives up
    cdef bint granted                   # what it waited for was handed over


cdef class WaitQueue:
    cdef PyObject *first                # borrowed, NULL when empty
    cdef PyObject *last
    cdef readonly int64_t length
    cdef object serves                  # what is waited for

    # To the end. Neither of these two runs any other code, so they may be part of a
    # step that must not be interrupted.
    cdef int join(self, Place place) noexcept
    cdef int remove(self, Place place) noexcept
    # Nobody stands in it any more; who stepped on would find its place taken away.
    cdef int forget_all(self) noexcept


# A place for the dispatch, kept in its slot until it is left.
cdef Place take_place(Frame *f)

# Let the dispatch wait at its place until it is woken, or for `delay_ns`; says WAIT.
cdef int stand(Frame *f, Place place, Clock clock, int64_t delay_ns) except -1

# Wake who waits there. False: its event loop is closed, it will never look again.
cdef bint rouse(Place place) except -1
