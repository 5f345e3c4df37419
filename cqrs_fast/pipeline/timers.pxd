"""The timers of an event loop: what interrupts async handlers at their deadlines."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.limit cimport Limit


cdef struct Entry:
    # A node of a heap by deadline. A handler that ends takes its own out: whatever the
    # number of those that are pending, the loop has one timer, for the nearest.
    Entry *child                # the first of those below it, none is due sooner
    Entry *following            # the next one below the same node
    Entry *preceding            # the one before; of a first child the node above
    int64_t due_ns              # by the clock of its heap
    PyObject *timeout           # the Timeout it belongs to, borrowed


cdef class Timeout:
    """What may interrupt a suspended handler; a dispatch keeps it for the next."""

    cdef Entry entry
    cdef Timers timers          # whose heap its entry is in, or None
    cdef object task            # that awaits the handler
    cdef int cancelling         # the task's cancelling() before
    cdef Limit limit            # tells those inside, or None
    cdef bint expired
    cdef int64_t round          # counts its beginnings
    cdef Clock clock            # a manual one that wakes it, or None

    # From now on `due_ns` by `clock` interrupts the running task. False: there is none.
    cdef bint begin(self, int64_t due_ns, Clock clock, Limit limit) except -1
    # The handler has ended. True: its cancellation was this timeout's alone.
    cdef bint end(self) except -1
    cdef int expire(self) except -1


cdef class Timers:
    """The deadlines that are pending on one event loop, by one clock."""

    cdef object loop            # a weak reference
    cdef Clock clock
    cdef Entry *nearest         # the root of the heap, NULL when it is empty
    cdef object handle          # of the loop's timer, weak, or None
    cdef int64_t armed_ns       # when that looks at the heap
    cdef int64_t step_ns        # since when …
    cdef int taken_back         # … so many timers of the loop were taken back
    cdef object __weakref__

    cdef int add(self, Entry *entry, object loop) except -1
    cdef int take(self, Entry *entry) except -1
    cdef int remove(self, Entry *entry) noexcept
    cdef int arm(self, object loop, int64_t now_ns) except -1
    cdef object disarm(self)
    cdef int expire_nearest(self) except -1


# Whether `error` is an asyncio.CancelledError.
cdef bint is_cancellation(PyObject *error) noexcept
