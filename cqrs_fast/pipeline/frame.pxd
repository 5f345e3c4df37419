"""The frame: everything one dispatch knows, on the C stack or inside an awaitable."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t


cdef enum Verdict:
    PROCEED = 0     # go on: inwards from enter, outwards from leave
    STOP = 1        # from enter: the outcome is in the frame, nothing inside runs
    WAIT = 2        # ask me again after delay_ns, or when the waiter is woken
    AGAIN = 3       # from leave: run the inner part again after delay_ns
    AWAIT = 4       # ask me again with the answer of the Await in `waiter`


cdef enum Ending:
    NOT_ENDED = 0
    ENDED = 1       # the wait was ended from outside, the error in the frame says why


cdef enum Note:
    CACHE_HIT = 1   # a stage answered from a cache
    LATE = 2        # the handler finished after its deadline
    ENDINGS = 4     # of a context: something is to be done at its end


cdef struct Slot:
    # What a stage remembers of one dispatch, zero when it is entered first.
    int64_t a
    int64_t b
    PyObject *object            # owned; the driver drops it at the end


cdef struct Frame:
    PyObject *route             # the program; borrowed, as are the next two
    PyObject *message
    PyObject *parent            # the context that the caller passed, or NULL
    PyObject *context           # this dispatch's own, owned; NULL until asked for
    PyObject *result            # owned; NULL until there is one
    PyObject *error             # owned exception instance; at most one of these two
    PyObject *waiter            # owned: what a WAIT or an AWAIT waits for, or NULL
    PyObject *bus_clock         # the route's, borrowed, NULL for the system clock
    PyObject *clock             # that measures a delay: borrowed, NULL for real time
    Slot *slot                  # of the stage that is asked, NULL if it wants none
    Slot *slots
    int64_t started_ns          # the reading on the way in …
    int64_t now_ns              # … and the newest; both 0 if no stage reads the clock
    int64_t sampled_ns          # the start, where metrics sample it, or NO_DEADLINE
    int64_t delay_ns            # of a WAIT (-1: until woken) or an AGAIN
    int64_t deadline_ns         # the nearest that a timeout set, or NO_DEADLINE …
    int64_t timeout_ns          # … the time it allows, 0 if it is the caller's own …
    PyObject *deadline_clock    # … and what measures it: borrowed, NULL for real time
    int64_t published_ns            # the deadline that the context has of a timeout
    int depth                   # how many stages this dispatch goes through
    int slots_used              # how many slots there are
    uint32_t forks              # the fork_count it began under
    bint limited                # the caller's context may be done some time
    # Zero at the start, side by side: a few wide stores clear them all.
    int position                # how many stages are entered
    bint upward
    bint on_loop                # the async driver runs it
    bint again                  # the wait is an AGAIN's
    bint closing                # it is closed: nothing may begin any more
    Ending ending
    uint32_t retries            # further attempts that were begun
    uint32_t notes              # Note flags for the stages outside
