"""Rate limiting: refuse what comes too fast, or let it wait for its turn."""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport INT64_MAX, int64_t

from cqrs_fast.clock cimport Clock, read_clock, tick_of
from cqrs_fast.forks cimport tell_of_forks
from cqrs_fast.pipeline.calling cimport is_awaitable
from cqrs_fast.pipeline.frame cimport (
    PROCEED,
    STOP,
    WAIT,
    Frame,
    frame_context,
    set_error,
    stage_now,
)
from cqrs_fast.pipeline.route cimport Route, own_name
from cqrs_fast.pipeline.stage cimport Revision, RouteSpec, Stage
from cqrs_fast.pipeline.wait_queue cimport Place, WaitQueue, rouse, stand, take_place
from cqrs_fast.pipeline.waiting cimport remaining_ns
from cqrs_fast.policies.keyed_buckets cimport (
    Bucket,
    bucket_remaining,
    bucket_take,
    bucket_wait,
)
from cqrs_fast.policies.token_bucket cimport NewRate, TokenBucket
from cqrs_fast.rejection cimport Rejection

from cqrs_fast.arguments import seconds_or_zero, whole_number
from cqrs_fast.errors import RateLimitExceededError
from cqrs_fast.pipeline.arguments import awaitable_error, plain_callable
from cqrs_fast.pipeline.description import label_of
from cqrs_fast.stages.middleware_stats import RateLimitStats

MOST_WAITERS = 10**6

cdef str INSTEAD = "return the key from a plain function (ctx, message)"

cdef Rejection exceeded = Rejection(
    RateLimitExceededError, "limit", "window", "remaining"
)


@cython.final
@cython.auto_pickle(False)
cdef class RateLimitingMiddleware(Stage):
    """Admit `requests_per_window` dispatches in each `window`, and bursts, exactly.

    In any interval of t seconds at most `burst + requests_per_window * t / window`
    dispatches are admitted, by the time at which each came in; with the default burst
    that is up to twice the limit in one unlucky window. A token that was taken is never
    given back, also where the dispatch fails or is refused further in. All buses and
    routes that share this object share its limit.

    One that finds no token is refused with RateLimitExceededError, whose `retry_after`
    is exact. With `max_wait` it waits in line instead, unless that would take longer
    than `max_wait` or than is left until its deadline: then it is refused at once. Who
    waits takes a token when there is one, in the order of arrival, and nobody overtakes
    the line. A cancelled dispatch leaves the line and costs nothing.

    Parameters:
        requests_per_window: tokens that come back in each window, from 1 to 10**12.
        window: in seconds.
        burst: the most tokens there are at once; None for `requests_per_window`.
        key: `key(ctx, message)` returns a hashable object, and each has a bucket of its
            own; those with None share one. Take it from what is authenticated, not from
            what the caller may choose.
        max_keys: how many keys have a bucket of their own. Only a full bucket makes
            room for a new key; while none is full, the keys without one share one
            bucket.
        max_wait: in seconds; 0 refuses at once. Where a pipeline must not wait, it
            cannot be raised later: `update` refuses to turn waiting on.
        max_waiters: how many may wait at once, from 1 to 10**6, all keys together.
        clock: a callable that returns nanoseconds; by default that of the bus. Time
            that goes back counts as no time.

    Raises TypeError or ValueError for an argument that makes no sense (TokenBucket
    tells more). A key function that raises, or returns what cannot be hashed, fails the
    dispatch with that error. Safe to use from any thread and event loop; it holds for
    one process.
    """

    cdef TokenBucket tokens
    cdef Clock clock
    cdef object key
    cdef Line line                      # None: nobody ever waits
    cdef object max_wait                # as given …
    cdef int64_t max_wait_ns            # … and in nanoseconds
    cdef int64_t max_waiters
    cdef int64_t admitted, rejected, waiting
    cdef object __weakref__

    def __cinit__(self):
        self.reads_clock = True

    def __init__(self, requests_per_window=1000, window=60.0, *, burst=None, key=None,
                 max_keys=10000, max_wait=0.0, max_waiters=1000, clock=None):
        self.tokens = TokenBucket(
            requests_per_window, window, burst=burst, max_keys=max_keys, clock=clock
        )
        self.clock = self.tokens.clock
        if key is not None:
            self.key = plain_callable("key", key, INSTEAD)
            self.takes_time = True
        self.max_wait_ns = seconds_or_zero("max_wait", max_wait)
        self.max_wait = max_wait
        self.max_waiters = whole_number("max_waiters", max_waiters, 1, MOST_WAITERS)
        if self.max_wait_ns > 0:
            self.line = Line(self)
        tell_of_forks(self)

    def _after_fork(self):
        cdef Bucket bucket
        for bucket in [self.tokens.one, *self.tokens.keyed.all()]:
            if bucket.attached is not None:
                (<WaitQueue>bucket.attached).forget_all()
                bucket.attached = None
        self.waiting = 0

    def remaining_tokens(self, key=None):
        """Return how many whole tokens there are now, for a key or without one."""
        return self.tokens.remaining_tokens(key)

    def reset(self):
        """Fill every bucket; who waits for a token gets it now."""
        self.tokens.reset()
        self.wake_all()

    def update(self, **settings):
        """Change settings in place, all or none of them.

        Takes the names of the constructor but `key` and `clock`, and raises as it does;
        TypeError for another name, ValueError for a `max_wait` above 0 where it was 0
        at construction. Each bucket keeps its share of the burst. Who waits already
        keeps to the `max_wait` that it came with.
        """
        cdef NewLimits new = self.revise(settings)
        if new.line is not None and self.line is None:
            raise ValueError(
                f"max_wait must stay 0, got {new.max_wait!r}: pipelines were built "
                "that cannot wait, so make a RateLimitingMiddleware with a max_wait"
            )
        # Pipelines stay as they were built.
        new.line = self.line
        new.apply()
        new.settle()

    def snapshot(self):
        """Return a RateLimitStats of now."""
        return RateLimitStats(
            limit=self.tokens.requests_per_window,
            window=float(self.tokens.window),
            burst=self.tokens.burst,
            remaining=self.tokens.remaining_tokens(),
            admitted=self.admitted,
            rejected=self.rejected,
            waiting=self.waiting,
            keys=self.tokens.keys,
            overflowed=self.tokens.overflowed,
        )

    def settings(self):
        """Return the effective settings, under the names of the parameters."""
        return {
            **self.tokens.settings(),
            "burst": self.tokens.burst,
            "key": None if self.key is None else label_of(self.key),
            "max_wait": self.max_wait,
            "max_waiters": self.max_waiters,
        }

    cdef object observed(self):
        return self.snapshot()

    cdef Stage for_route(self, RouteSpec spec):
        return self.served(spec, self.line)

    cdef Stage served(self, RouteSpec spec, Line line):
        if self.clock is None and spec.clock is not None:
            self.tokens.tell_time_by(spec.clock)
            self.clock = spec.clock
        return self if line is None else line

    cdef Revision revise(self, dict settings):
        cdef NewLimits new = NewLimits.__new__(NewLimits)
        settings = dict(settings)
        new.stage = self
        new.max_wait = settings.pop("max_wait", self.max_wait)
        new.max_wait_ns = seconds_or_zero("max_wait", new.max_wait)
        new.max_waiters = whole_number(
            "max_waiters",
            settings.pop("max_waiters", self.max_waiters),
            1,
            MOST_WAITERS,
        )
        new.rate = self.tokens.checked(settings)
        if new.max_wait_ns > 0:
            new.line = Line(self) if self.line is None else self.line
        return new

    cdef int enter(self, Frame *f) except -1:
        # hot
        cdef int64_t now_ns = f.now_ns
        if self.clock is not None:
            now_ns = stage_now(f, self.clock)
        if self.key is not None:
            return self.enter_keyed(f)
        # Without a reference of its own: nothing runs in between.
        if (
            self.tokens.one.attached is None
            and bucket_take(&self.tokens.one.state, now_ns, 1) == 0
        ):
            self.admitted += 1
            return PROCEED
        return self.turn_away(f, self.tokens.one, now_ns)

    cdef int enter_keyed(self, Frame *f) except -1:
        cdef int64_t now_ns = 0
        cdef Bucket bucket = self.bucket_of(f, &now_ns)
        if bucket.attached is None and bucket_take(&bucket.state, now_ns, 1) == 0:
            self.admitted += 1
            return PROCEED
        return self.turn_away(f, bucket, now_ns)

    cdef int turn_away(self, Frame *f, Bucket bucket, int64_t now_ns) except -1:
        """Refuse it: there is no token, or those of a pipeline that waits go first."""
        self.rouse_late(bucket, now_ns)
        if bucket.attached is None and bucket_take(&bucket.state, now_ns, 1) == 0:
            self.admitted += 1
            return PROCEED
        return self.refuse(f, bucket, now_ns, self.estimate(bucket, now_ns))

    cdef Bucket bucket_of(self, Frame *f, int64_t *now_ns):
        """Find the bucket of the dispatch's key, and set the time as of now."""
        key = self.key(frame_context(f), <object>f.message)
        if is_awaitable(<PyObject *>key):
            raise awaitable_error("key", key, INSTEAD)
        # The dispatch's own reading is from before the key function.
        now_ns[0] = read_clock(self.clock)
        try:
            return self.tokens.find(key, now_ns[0])
        except TypeError:
            check_hashable(key)
            raise

    cdef int refuse(
        self, Frame *f, Bucket bucket, int64_t now_ns, int64_t wait_ns
    ) except -1:
        self.rejected += 1
        name = own_name(<Route>f.route, <object>f.message)
        wait_ns += tick_of(self.clock)
        error = exceeded.fresh(wait_ns / 1e9, "RateLimitingMiddleware", name)
        exceeded.put(error, 0, self.tokens.requests_per_window)
        exceeded.put(error, 1, self.tokens.window)
        exceeded.put(error, 2, bucket_remaining(&bucket.state, now_ns))
        set_error(f, error)
        return STOP

    cdef int wake_all(self) except -1:
        """Let the first of every line look at its bucket again."""
        cdef Bucket bucket
        if self.waiting == 0:
            return 0
        for bucket in [self.tokens.one, *self.tokens.keyed.all()]:
            if bucket.attached is not None:
                self.wake_first(<WaitQueue>bucket.attached)
        return 0

    # The lines: each bucket that somebody waits for has a queue attached.

    cdef int64_t estimate(self, Bucket bucket, int64_t now_ns) noexcept:
        """Return how long one more would wait, behind all who wait already."""
        cdef WaitQueue queue = bucket.attached
        cdef int64_t ahead = 0 if queue is None else queue.length
        return bucket_wait(&bucket.state, now_ns, ahead + 1)

    cdef int remove(self, WaitQueue queue, Place place) except -1:
        queue.remove(place)
        self.waiting -= 1
        if queue.first == NULL:
            bucket, queue.serves = queue.serves, None
            (<Bucket>bucket).attached = None
        return 0

    cdef int wake_first(self, WaitQueue queue) except -1:
        """Wake the first who can be woken; who cannot, loses its place."""
        cdef Place first
        while queue.first != NULL:
            first = <Place>queue.first
            if rouse(first):
                break
            if first.queue is queue:
                self.remove(queue, first)
        return 0

    cdef int rouse_late(self, Bucket bucket, int64_t now_ns) except -1:
        """Wake a first one that should have looked by now: its loop may be closed."""
        cdef WaitQueue queue = bucket.attached
        if queue is not None and queue.first != NULL:
            if (<Place>queue.first).due_ns < now_ns:
                self.wake_first(queue)
        return 0


cdef int check_hashable(object key) except -1:
    # Named by its type: a key may tell who somebody is.
    try:
        hash(key)
    except TypeError:
        raise TypeError(
            f"key must return what can be hashed, got a {type(key).__name__}"
        ) from None
    return 0


@cython.final
@cython.auto_pickle(False)
cdef class Line(Stage):
    """A RateLimitingMiddleware in whose pipelines a dispatch may wait.

    Only the first of a queue has a timer and takes a token, when it acts; there are no
    reservations, so leaving the queue needs nothing to be given back. Whoever leaves as
    the first wakes the next.
    """

    cdef RateLimitingMiddleware limits

    def __cinit__(self):
        self.reads_clock = self.has_slot = self.may_wait = self.errors_only = True

    def __init__(self, RateLimitingMiddleware limits not None):
        self.limits = limits
        self.takes_time = limits.takes_time

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
            return self.look(f, <Place>f.slot.object, NULL)
        now_ns = stage_now(f, limits.clock)
        if limits.key is None:
            bucket = limits.tokens.one
        else:
            bucket = limits.bucket_of(f, &now_ns)
        if bucket.attached is None and bucket_take(&bucket.state, now_ns, 1) == 0:
            limits.admitted += 1
            return PROCEED
        return self.queue_up(f, bucket, now_ns)

    cdef int leave(self, Frame *f) except -1:
        # A wait that was ended from outside.
        if f.slot.object != NULL:
            self.depart(<Place>f.slot.object)
        return PROCEED

    cdef int queue_up(self, Frame *f, Bucket bucket, int64_t now_ns) except -1:
        cdef RateLimitingMiddleware limits = self.limits
        cdef int64_t most_ns = min(limits.max_wait_ns, remaining_ns(f))
        cdef int64_t wait_ns
        cdef WaitQueue queue, fresh
        cdef Place place
        limits.rouse_late(bucket, now_ns)
        wait_ns = limits.estimate(bucket, now_ns)
        if wait_ns > most_ns or most_ns <= 0 or limits.waiting >= limits.max_waiters:
            return limits.refuse(f, bucket, now_ns, wait_ns)
        place = take_place(f)
        fresh = WaitQueue.__new__(WaitQueue)
        # From here on nothing else runs until it stands in line.
        if bucket.attached is None:
            fresh.serves = bucket
            bucket.attached = fresh
        queue = <WaitQueue>bucket.attached
        place.due_ns = INT64_MAX
        place.until_ns = now_ns + limits.max_wait_ns
        queue.join(place)
        limits.waiting += 1
        if queue.first == <PyObject *>place:
            # There may be a token: an older line has just come to its end.
            return self.look(f, place, &now_ns)
        return stand(f, place, limits.clock, -1)

    cdef int look(self, Frame *f, Place place, int64_t *now_ns) except -1:
        """Take a token as the first in line, or wait on; NULL stands for now."""
        cdef int verdict
        try:
            if now_ns == NULL:
                verdict = self.act(f, place, stage_now(f, self.limits.clock))
            else:
                verdict = self.act(f, place, now_ns[0])
        except BaseException:
            self.depart(place)
            raise
        if verdict != WAIT:
            self.depart(place)
        return verdict

    cdef int act(self, Frame *f, Place place, int64_t now_ns) except -1:
        cdef RateLimitingMiddleware limits = self.limits
        cdef int64_t wait_ns
        cdef WaitQueue queue = place.queue
        cdef Bucket bucket
        if queue is None:
            # Taken for lost with its event loop, and stepped all the same.
            return limits.refuse(f, limits.tokens.one, now_ns, 0)
        bucket = <Bucket>queue.serves
        if queue.first != <PyObject *>place:
            return stand(f, place, limits.clock, -1)
        wait_ns = bucket_take(&bucket.state, now_ns, 1)
        if wait_ns == 0:
            limits.admitted += 1
            return PROCEED
        if wait_ns > place.until_ns - now_ns:
            return limits.refuse(f, bucket, now_ns, wait_ns)
        place.due_ns = now_ns + wait_ns
        return stand(f, place, limits.clock, wait_ns)

    cdef int depart(self, Place place) except -1:
        """Leave the line, once; wake the next one if this was the first."""
        cdef WaitQueue queue = place.queue
        cdef bint was_first
        if queue is None:
            return 0
        was_first = queue.first == <PyObject *>place
        self.limits.remove(queue, place)
        if was_first:
            self.limits.wake_first(queue)
        return 0


@cython.final
@cython.auto_pickle(False)
cdef class NewLimits(Revision):
    """Other limits of a RateLimitingMiddleware, and whether new routes may wait."""

    cdef NewRate rate
    cdef Line line                      # None: new routes do not wait
    cdef object max_wait                # then the one that it replaces
    cdef int64_t max_wait_ns, max_waiters

    cdef Stage for_route(self, RouteSpec spec):
        return (<RateLimitingMiddleware>self.stage).served(spec, self.line)

    cdef int apply(self) noexcept:
        cdef RateLimitingMiddleware limits = <RateLimitingMiddleware>self.stage
        limits.tokens.take(self.rate)
        limits.line = self.line
        limits.max_wait_ns = self.max_wait_ns
        limits.max_waiters = self.max_waiters
        limits.max_wait, self.max_wait = self.max_wait, limits.max_wait
        return 0

    cdef int settle(self) except -1:
        return (<RateLimitingMiddleware>self.stage).wake_all()
