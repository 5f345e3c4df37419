"""TokenLine: those who wait for a token of one bucket."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.policies.keyed_buckets cimport Bucket
from cqrs_fast.waits.line cimport Line, Ticket


cdef class TokenLines:
    """What the lines of one limiter share."""

    cdef int64_t waiting        # in all lines together
    cdef int64_t grace_ns       # so long may one take to act once it was woken …
    cdef Clock clock            # … by this clock

    cdef int set_max_wait(self, int64_t max_wait_ns) noexcept


cdef class TokenLine(Line):
    cdef TokenLines lines
    cdef Bucket bucket          # attached to it while somebody waits
    cdef PyObject *turn         # whose turn it is: the first that is not passed over
    cdef bint asked             # it was asked to act, and did not yet …
    cdef bint counted           # … for a time that is known …
    cdef int64_t asked_ns       # … since then
    cdef int64_t passed         # how many are passed over
    cdef int64_t joined         # how many ever stood in it
    cdef list held_up           # the event loops of those

    # Stand in line. Runs no other code.
    cdef int enter(self, Ticket ticket) noexcept
    # Try to be served. 0: it has a token and left; more: in how many nanoseconds it
    # looks again by itself; -1: not within its time, but perhaps `wait_ns` from now.
    cdef int64_t act(self, Ticket ticket, int64_t now_ns, int64_t *wait_ns) except -2
    # See that whoever has the turn acts, or loses it.
    cdef int look_after(self, int64_t now_ns) except -1
    # Let whoever has the turn look at the bucket again.
    cdef int ask(self) except -1

    cdef int give_turn(self, PyObject *candidate) except -1
    cdef int begin_count(self) except -1
    cdef bint is_held_up(self, Ticket turn) except -1
    cdef int pass_over(self, Ticket ticket) except -1
    cdef int recall(self, Ticket ticket) noexcept
    cdef int take_out(self, Ticket ticket) except -1
    cdef int64_t next_look_ns(self, Ticket ticket, int64_t now_ns) noexcept


# The line of a bucket, made if need be; `fresh` is a new one for that.
cdef TokenLine line_of(Bucket bucket, TokenLine fresh)

# A token for a newcomer: there is one, and nobody in line who can run.
cdef bint take_free(Bucket bucket, int64_t now_ns) except -1

# How long one more would wait, behind all in line who can run.
cdef int64_t estimate(Bucket bucket, int64_t now_ns) noexcept
