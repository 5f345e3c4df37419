"""TokenLine: those who wait for a token of one bucket.

One of them has the turn: it takes the next token, when it acts. There are no
reservations, so whoever leaves has nothing to give back, and the rate holds for the
moments at which dispatches go on.

Everybody wakes by itself when its own token should have come, and before its bound. Who
finds then that the one with the turn should have acted, asks it to. If that takes
longer than the grace time, its event loop is held up (by a sync handler, say) or was
stopped: it is passed over, and so are all that wait on the same loop. They keep their
places: the first of them that acts again has the turn. Nobody passes over one on its
own loop, which runs.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t

from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.policies.core.token_bucket cimport bucket_take, bucket_wait
from cqrs_fast.policies.keyed_buckets cimport Bucket
from cqrs_fast.waits.line cimport Line, Ticket, wake
from cqrs_fast.waits.loops cimport running_loop

cdef enum:
    MOST_GRACE_NS = 50_000_000
    GRACES_PER_WAIT = 4
    # One that is no later than such a part of the grace time needs not be asked.
    SLACKS_PER_GRACE = 4
    # So many look after the turn in each grace time, those further back less often.
    WATCHERS = 16


@cython.final
cdef class TokenLines:
    """What the lines of one limiter share."""

    def __cinit__(self):
        self.grace_ns = MOST_GRACE_NS

    cdef int set_max_wait(self, int64_t max_wait_ns) noexcept:
        if max_wait_ns > 0:
            self.grace_ns = min(max_wait_ns // GRACES_PER_WAIT + 1, MOST_GRACE_NS)
        return 0


@cython.final
@cython.no_gc_clear
cdef class TokenLine(Line):
    """Those who wait for a token of one bucket."""

    def __cinit__(self, TokenLines lines not None, Bucket bucket not None):
        self.lines = lines
        self.bucket = bucket
        self.held_up = []

    cdef int enter(self, Ticket ticket) noexcept:
        self.append(ticket)
        self.joined += 1
        ticket.number = self.joined
        self.lines.waiting += 1
        if self.turn == NULL:
            self.turn = <PyObject *>ticket
            self.asked = False
        return 0

    cdef int64_t act(self, Ticket ticket, int64_t now_ns, int64_t *wait_ns) except -2:
        if not ticket.queued:
            # Taken for lost with its event loop, or forgotten in a fork.
            wait_ns[0] = 0
            return -1
        if ticket.passed:
            self.recall(ticket)
        elif self.turn != <PyObject *>ticket:
            self.look_after(now_ns)
        if self.turn != <PyObject *>ticket:
            wait_ns[0] = estimate(self.bucket, now_ns)
            if now_ns >= ticket.until_ns:
                return -1
            return self.next_look_ns(ticket, now_ns)
        self.asked = False
        wait_ns[0] = bucket_take(&self.bucket.state, now_ns, 1)
        if wait_ns[0] == 0:
            self.leave(ticket)
            return 0
        if wait_ns[0] > ticket.until_ns - now_ns:
            return -1
        ticket.due_ns = now_ns + wait_ns[0]
        return wait_ns[0]

    cdef int64_t next_look_ns(self, Ticket ticket, int64_t now_ns) noexcept:
        """In how many ns one without the turn looks again, whatever the others do."""
        cdef int64_t grace_ns = self.lines.grace_ns
        cdef int64_t left_ns = ticket.until_ns - now_ns
        cdef int64_t delay_ns = ticket.due_ns - now_ns
        cdef int64_t ahead = 0
        if delay_ns <= 0:
            # Some of those ahead may have left without a token. One that was passed
            # over just now, while it looked, may have nobody ahead.
            if self.turn != NULL:
                ahead = max(ticket.number - (<Ticket>self.turn).number, 0)
            delay_ns = bucket_wait(&self.bucket.state, now_ns, ahead + 1)
            delay_ns = max(delay_ns, grace_ns * (1 + ahead // WATCHERS))
            ticket.due_ns = now_ns + delay_ns
        # Early enough before its end to see whether the one with the turn acts.
        if left_ns > 2 * grace_ns:
            return min(delay_ns, left_ns - 2 * grace_ns)
        return min(delay_ns, grace_ns, left_ns)

    cdef int look_after(self, int64_t now_ns) except -1:
        cdef Ticket turn
        if self.turn == NULL:
            return 0
        turn = <Ticket>self.turn
        if not self.asked:
            if turn.due_ns > now_ns - self.lines.grace_ns // SLACKS_PER_GRACE:
                return 0
            return self.ask()
        if not self.counted:
            return self.begin_count()
        return self.pass_over(turn) if self.is_held_up(turn) else 0

    cdef bint is_held_up(self, Ticket turn) except -1:
        """Whether the one with the turn should have acted, and its loop is not this."""
        if read_clock(self.lines.clock) - self.asked_ns < self.lines.grace_ns:
            return False
        loop = turn.waiter.loop
        if loop is not None and loop is running_loop():
            return False
        # A user's clock runs code: it may have acted, or was passed over, meanwhile.
        return self.asked and self.turn == <PyObject *>turn

    cdef int begin_count(self) except -1:
        cdef int64_t now_ns
        if self.asked and not self.counted:
            now_ns = read_clock(self.lines.clock)
            self.asked_ns = now_ns
            self.counted = True
        return 0

    cdef int ask(self) except -1:
        return 0 if self.turn == NULL else self.give_turn(self.turn)

    cdef int give_turn(self, PyObject *candidate) except -1:
        """To the first from there on who may be able to act, and wake it."""
        cdef Ticket ticket
        while candidate != NULL:
            ticket = <Ticket>candidate
            candidate = ticket.behind
            if is_one_of(self.held_up, ticket.waiter.loop):
                ticket.passed = True
                self.passed += 1
                continue
            self.turn = <PyObject *>ticket
            self.asked = True
            self.counted = False
            try:
                self.begin_count()
            except BaseException:
                # Of a user's clock: whoever looks next begins to count.
                wake(ticket)
                raise
            # Others may act meanwhile.
            if wake(ticket) or self.turn != <PyObject *>ticket:
                return 0
            candidate = ticket.behind
            self.turn = NULL
            # Its event loop is closed: it will never act.
            self.take_out(ticket)
        self.turn = NULL
        # Whoever comes next, on whichever loop, is not held up.
        self.held_up = []
        return 0

    cdef int pass_over(self, Ticket ticket) except -1:
        loop = ticket.waiter.loop
        if loop is not None:
            self.held_up.append(loop)
        ticket.passed = True
        self.passed += 1
        return self.give_turn(ticket.behind)

    cdef int recall(self, Ticket ticket) noexcept:
        """Give the turn back to one that acts again, for it came first."""
        cdef PyObject *one = <PyObject *>ticket
        # Those behind it count again; who is still held up is passed over once more.
        while one != self.turn and one != NULL:
            self.passed -= (<Ticket>one).passed
            (<Ticket>one).passed = False
            one = (<Ticket>one).behind
        self.turn = <PyObject *>ticket
        self.held_up = []
        return 0

    cdef int leave(self, Ticket ticket) except -1:
        cdef PyObject *behind = ticket.behind
        cdef bint had_turn = self.turn == <PyObject *>ticket
        if not ticket.queued:
            return 0
        if had_turn:
            self.turn = NULL
        self.take_out(ticket)
        if had_turn:
            self.give_turn(behind)
        return 0

    cdef int take_out(self, Ticket ticket) except -1:
        cdef Bucket bucket = self.bucket
        self.passed -= ticket.passed
        ticket.passed = False
        self.remove(ticket)
        self.lines.waiting -= 1
        if self.first == NULL and bucket.attached is self:
            bucket.attached = None
        return 0

    cdef int forget_all(self) noexcept:
        self.turn = NULL
        return Line.forget_all(self)


cdef bint is_one_of(list loops, object loop) noexcept:
    for one in loops:
        if one is loop:
            return True
    return False


cdef TokenLine line_of(Bucket bucket, TokenLine fresh):
    if bucket.attached is None:
        bucket.attached = fresh
    return <TokenLine>bucket.attached


cdef bint take_free(Bucket bucket, int64_t now_ns) except -1:
    cdef TokenLine line = bucket.attached
    if line is not None:
        line.look_after(now_ns)
        line = bucket.attached
    if line is None or line.turn == NULL:
        return bucket_take(&bucket.state, now_ns, 1) == 0
    return False


cdef int64_t estimate(Bucket bucket, int64_t now_ns) noexcept:
    cdef TokenLine line = bucket.attached
    cdef int64_t ahead = 0 if line is None else line.length - line.passed
    return bucket_wait(&bucket.state, now_ns, ahead + 1)


constructed(TokenLines)
constructed(TokenLine)
