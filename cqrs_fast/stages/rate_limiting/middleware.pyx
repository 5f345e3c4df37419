"""Rate limiting: reject dispatches over the limit, or let them wait in line."""

cimport cython
from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.forks cimport on_fork
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.rejection cimport Rejection
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.pipeline.deadline cimport remaining_ns
from cqrs_fast.pipeline.frame cimport PROCEED, STOP, Frame
from cqrs_fast.pipeline.frame_ops cimport set_error, stage_now
from cqrs_fast.pipeline.route cimport frame_name
from cqrs_fast.pipeline.stage cimport RouteSpec, Stage
from cqrs_fast.pipeline.waiting cimport blocks_loop, join_line, wait_in_line
from cqrs_fast.policies.core.token_bucket cimport bucket_remaining, bucket_take
from cqrs_fast.policies.keyed_buckets cimport Bucket
from cqrs_fast.policies.token_bucket cimport NewRate, TokenBucket
from cqrs_fast.stages.rate_limiting.keys cimport (
    INSTEAD,
    checked_scope,
    find_bucket,
    key_in,
)
from cqrs_fast.stages.rate_limiting.token_line cimport (
    TokenLine, TokenLines, estimate, line_of, take_free,
)
from cqrs_fast.waits.line cimport Ticket

from cqrs_fast.base.arguments import seconds_or_zero, whole_number
from cqrs_fast.base.callables import plain_callable
from cqrs_fast.base.naming import label_of
from cqrs_fast.errors import RateLimitExceededError
from cqrs_fast.stages.rate_limiting.keys import NOT_GIVEN
from cqrs_fast.stats import RateLimitStats

MOST_WAITERS = 10**6

cdef Rejection exceeded = Rejection(
    RateLimitExceededError, "limit", "window", "remaining"
)


@cython.final
cdef class RateLimitingMiddleware(Stage):
    """Admit `requests_per_window` dispatches in each `window`, and bursts, exactly.

    In any interval of t seconds at most `burst + requests_per_window * t / window`
    dispatches are admitted, by the time at which each came in; with the default burst
    that is up to twice the limit in one unlucky window. A token that was taken is never
    given back, also if the dispatch fails or is rejected further in. All buses and
    routes that share this object share its limit.

    One that finds no token is rejected with RateLimitExceededError, whose `retry_after`
    is exact. With `max_wait` it waits in line instead, unless that would take longer
    than `max_wait` or than is left until its deadline: then it is rejected at once. Who
    waits takes a token when there is one, in the order of arrival, and nobody overtakes
    the line. A cancelled dispatch leaves the line and costs nothing.

    Everybody in line keeps to its own `max_wait` and deadline, whoever stands before
    it. Where an event loop is held up by code that blocks it, those who wait on it are
    passed over after a quarter of `max_wait`, 50 ms at most, until they act again; one
    whose loop is closed loses its place. `clock` tells that time too. A sync dispatch
    in a thread that runs an event loop never waits, for it would block that loop: it is
    rejected at once.

    Parameters:
        requests_per_window: tokens that come back in each window, from 1 to 10**12.
        window: in seconds.
        burst: the most tokens there are at once; None for `requests_per_window`.
        key: `key(ctx, message)` returns a hashable object, and each has a bucket of its
            own; those with None share one. Take it from what is authenticated, not from
            what the caller may choose.
        scope: "bus", one bucket for all, or "principal", a bucket for each
            `ctx.principal`; callers without a principal share one. Not with `key`.
        max_keys: how many keys have a bucket of their own. Only a full bucket makes
            room for a new key; while none is full, the keys without one share one
            bucket.
        max_wait: in seconds; 0 rejects at once. Once a bus has it, `update` cannot turn
            waiting on: the pipelines are built by then.
        max_waiters: how many may wait at once, from 1 to 10**6, all keys together.
        clock: a callable that returns nanoseconds; by default that of the bus. Time
            that goes back counts as no time.

    `update` changes all of these but `key` and `clock`, and `scope` only without a key.
    Each bucket keeps its share of the burst; who waits already keeps to the `max_wait`
    that it came with.

    Raises TypeError or ValueError for an argument that makes no sense (TokenBucket
    tells more). A key function that raises, or returns what cannot be hashed, fails the
    dispatch with that error. Safe to use from any thread and event loop; it holds for
    one process.
    """

    cdef TokenBucket tokens
    cdef Clock clock
    cdef object key
    cdef str scope
    cdef bint is_keyed                  # there is a key, or it is the principal
    cdef QueueingLimiter queueing       # None: nobody ever waits
    cdef TokenLines lines
    cdef object max_wait                # as given …
    cdef int64_t max_wait_ns            # … and in nanoseconds
    cdef int64_t max_waiters
    cdef int64_t admitted, rejected
    cdef bint built                     # pipelines have it
    cdef NewRate rate                   # of one whose settings another one takes over
    cdef object __weakref__

    def __cinit__(self):
        self.reads_clock = True

    def __init__(self, requests_per_window=1000, window=60.0, *, burst=None, key=None,
                 scope=NOT_GIVEN, max_keys=10000, max_wait=0.0, max_waiters=1000,
                 clock=None):
        """Check and keep the parameters: the class describes them."""
        self.tokens = TokenBucket(
            requests_per_window, window, burst=burst, max_keys=max_keys, clock=clock
        )
        self.clock = self.tokens.clock
        if key is not None:
            self.key = plain_callable("key", key, INSTEAD)
            self.calls_user_code = True
        self.scope = checked_scope(scope, key)
        self.is_keyed = self.scope != "bus"
        self.max_wait_ns = seconds_or_zero("max_wait", max_wait)
        self.max_wait = max_wait
        self.max_waiters = whole_number("max_waiters", max_waiters, 1, MOST_WAITERS)
        self.lines = TokenLines()
        self.lines.set_max_wait(self.max_wait_ns)
        self.lines.clock = self.clock
        on_fork(self)
        if self.max_wait_ns > 0:
            self.queueing = QueueingLimiter.__new__(QueueingLimiter, self)

    def _after_fork(self):
        cdef Bucket bucket
        for bucket in self.tokens.all():
            if bucket.attached is not None:
                (<TokenLine>bucket.attached).forget_all()
                bucket.attached = None
        self.lines.waiting = 0

    def remaining_tokens(self, key=None):
        """Return how many whole tokens there are now, for a key or without one."""
        return self.tokens.remaining_tokens(key)

    def reset(self):
        """Fill every bucket; who waits for a token gets it now."""
        self.tokens.reset()
        self.wake_all()

    def settings(self):
        """Return the effective settings, under the names of the parameters."""
        return {
            **self.tokens.settings(),
            "burst": self.tokens.burst,
            "key": None if self.key is None else label_of(self.key),
            "scope": self.scope,
            "max_wait": self.max_wait,
            "max_waiters": self.max_waiters,
        }

    cdef object observed(self):
        return RateLimitStats(
            limit=self.tokens.requests_per_window,
            window=float(self.tokens.window),
            burst=self.tokens.burst,
            remaining=self.tokens.remaining_tokens(),
            admitted=self.admitted,
            rejected=self.rejected,
            waiting=self.lines.waiting,
            keys=self.tokens.keys,
            overflowed=self.tokens.overflowed,
        )

    cdef Stage for_route(self, RouteSpec spec):
        return self.served(spec, self.queueing)

    cdef Stage served(self, RouteSpec spec, QueueingLimiter queueing):
        self.built = True
        # Waiting dispatches keep the clock that they arrived with.
        if self.clock is None and spec.clock is not None and self.lines.waiting == 0:
            self.tokens.tell_time_by(spec.clock)
            self.clock = self.lines.clock = spec.clock
        return self if queueing is None else queueing

    cdef dict changeable(self):
        known = {
            **self.tokens.settings(),
            "max_wait": self.max_wait,
            "max_waiters": self.max_waiters,
        }
        if self.key is None:
            known["scope"] = self.scope
        return known

    cdef int succeed(self, Stage old) except -1:
        cdef RateLimitingMiddleware limits = <RateLimitingMiddleware>old
        self.rate = limits.tokens.checked(self.tokens.settings())
        if self.queueing is not None:
            self.queueing = limits.queueing
            if limits.queueing is None:
                self.queueing = QueueingLimiter.__new__(QueueingLimiter, limits)
        return 0

    cdef Stage serve(self, RouteSpec spec, Stage new):
        return self.served(spec, (<RateLimitingMiddleware>new).queueing)

    cdef int check_built(self, Stage new) except -1:
        cdef RateLimitingMiddleware limits = <RateLimitingMiddleware>new
        if self.built:
            if limits.queueing is not None and self.queueing is None:
                raise ValueError(
                    f"max_wait must stay 0, got {limits.max_wait!r}: pipelines were "
                    "built that cannot wait, so make a RateLimitingMiddleware with a "
                    "max_wait"
                )
            # Built pipelines do not change.
            limits.queueing = self.queueing
        return 0

    cdef int exchange(self, Stage new) noexcept:
        cdef RateLimitingMiddleware limits = <RateLimitingMiddleware>new
        self.tokens.take(limits.rate)
        self.queueing, limits.queueing = limits.queueing, self.queueing
        self.lines.set_max_wait(limits.max_wait_ns)
        self.max_wait_ns = limits.max_wait_ns
        self.max_waiters = limits.max_waiters
        if self.key is None:
            self.scope, limits.scope = limits.scope, self.scope
            self.is_keyed = limits.is_keyed
        self.max_wait, limits.max_wait = limits.max_wait, self.max_wait
        return 0

    cdef int settle(self, Stage old) except -1:
        return self.wake_all()

    cdef int enter(self, Frame *f) except -1:
        # hot
        cdef int64_t now_ns = f.now_ns
        if self.clock is not None:
            now_ns = stage_now(f, self.clock)
        if self.is_keyed:
            return self.enter_keyed(f, now_ns)
        # Without a reference of its own: nothing runs in between.
        if (
            self.tokens.one.attached is None
            and bucket_take(&self.tokens.one.state, now_ns, 1) == 0
        ):
            self.admitted += 1
            return PROCEED
        return self.turn_away(f, self.tokens.one, now_ns)

    cdef int enter_keyed(self, Frame *f, int64_t now_ns) except -1:
        cdef Bucket bucket = self.bucket_of(f, &now_ns)
        if bucket.attached is None and bucket_take(&bucket.state, now_ns, 1) == 0:
            self.admitted += 1
            return PROCEED
        return self.turn_away(f, bucket, now_ns)

    cdef int turn_away(self, Frame *f, Bucket bucket, int64_t now_ns) except -1:
        """Reject it: there is no token, or those of a pipeline that waits go first."""
        if take_free(bucket, now_ns):
            self.admitted += 1
            return PROCEED
        return self.reject(f, bucket, now_ns, estimate(bucket, now_ns))

    cdef Bucket bucket_of(self, Frame *f, int64_t *now_ns):
        """Find the bucket of the dispatch; set the time as of now after users' code."""
        key = key_in(f, self.key)
        if self.key is not None:
            # The dispatch's own reading is from before the key function.
            now_ns[0] = read_clock(self.clock)
        return find_bucket(self.tokens, key, now_ns[0], self.scope)

    cdef int reject(
        self, Frame *f, Bucket bucket, int64_t now_ns, int64_t wait_ns
    ) except -1:
        self.rejected += 1
        error = exceeded.fresh(wait_ns / 1e9, "RateLimitingMiddleware", frame_name(f))
        exceeded.put(error, 0, self.tokens.requests_per_window)
        exceeded.put(error, 1, self.tokens.window)
        exceeded.put(error, 2, bucket_remaining(&bucket.state, now_ns))
        set_error(f, error)
        return STOP

    cdef int wake_all(self) except -1:
        """Let the ticket that has the turn in each line check its bucket again."""
        cdef Bucket bucket
        if self.lines.waiting == 0:
            return 0
        for bucket in self.tokens.all():
            if bucket.attached is not None:
                (<TokenLine>bucket.attached).ask()
        return 0


@cython.final
cdef class QueueingLimiter(Stage):
    """A RateLimitingMiddleware in whose pipelines a dispatch may wait."""

    cdef RateLimitingMiddleware limits

    def __cinit__(self, RateLimitingMiddleware limits not None):
        self.reads_clock = self.has_slot = self.may_wait = self.skips_results = True
        self.limits = limits
        self.calls_user_code = limits.calls_user_code

    def settings(self):
        """Return the effective settings, under the names of the parameters."""
        return self.limits.settings()

    cdef tuple described(self):
        return self.limits.described()

    cdef object observed(self):
        return self.limits.observed()

    cdef int enter(self, Frame *f) except -1:
        # hot, while nobody waits
        cdef RateLimitingMiddleware limits = self.limits
        cdef Bucket bucket
        cdef int64_t now_ns
        if f.slot.object != NULL:
            return self.look(f, <Ticket>f.slot.object, stage_now(f, limits.clock))
        now_ns = stage_now(f, limits.clock)
        if not limits.is_keyed:
            bucket = limits.tokens.one
        else:
            bucket = limits.bucket_of(f, &now_ns)
        if bucket.attached is None and bucket_take(&bucket.state, now_ns, 1) == 0:
            limits.admitted += 1
            return PROCEED
        return self.queue_up(f, bucket, now_ns)

    cdef int leave(self, Frame *f) except -1:
        # The wait was ended from outside.
        cdef Ticket ticket
        if f.slot.object != NULL:
            ticket = <Ticket>f.slot.object
            ticket.line.leave(ticket)
        return PROCEED

    cdef int queue_up(self, Frame *f, Bucket bucket, int64_t now_ns) except -1:
        cdef RateLimitingMiddleware limits = self.limits
        cdef int64_t most_ns = min(limits.max_wait_ns, remaining_ns(f))
        cdef int64_t wait_ns
        cdef TokenLine fresh
        cdef Ticket ticket
        if take_free(bucket, now_ns):
            limits.admitted += 1
            return PROCEED
        wait_ns = estimate(bucket, now_ns)
        if (
            wait_ns > most_ns
            or most_ns <= 0
            or limits.lines.waiting >= limits.max_waiters
            or blocks_loop(f)
        ):
            return limits.reject(f, bucket, now_ns, wait_ns)
        ticket = join_line(f)
        ticket.due_ns = now_ns + wait_ns
        ticket.until_ns = now_ns + limits.max_wait_ns
        fresh = TokenLine.__new__(TokenLine, limits.lines, bucket)
        # Nothing else runs between these two.
        fresh = line_of(bucket, fresh)
        fresh.enter(ticket)
        return self.look(f, ticket, now_ns)

    cdef int look(self, Frame *f, Ticket ticket, int64_t now_ns) except -1:
        """Take a token if it has the turn, or keep waiting."""
        cdef RateLimitingMiddleware limits = self.limits
        cdef TokenLine line = <TokenLine>ticket.line
        cdef int64_t wait_ns = 0
        cdef int64_t delay_ns
        try:
            delay_ns = line.act(ticket, now_ns, &wait_ns)
            if delay_ns > 0:
                return wait_in_line(f, ticket, limits.clock, delay_ns)
        except BaseException:
            line.leave(ticket)
            raise
        if delay_ns == 0:
            limits.admitted += 1
            return PROCEED
        line.leave(ticket)
        return limits.reject(f, line.bucket, now_ns, wait_ns)


signed(RateLimitingMiddleware, "'bus'")
constructed(RateLimitingMiddleware)
constructed(QueueingLimiter)
