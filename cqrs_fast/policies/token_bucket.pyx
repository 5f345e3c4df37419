"""TokenBucket: an exact rate limit, for all together or for each key.

The token bucket of traffic shaping (Jonathan Turner), counted in integers as the
generic cell rate algorithm is: policies/core/token_bucket.h has the arithmetic.
"""

cimport cython
from libc.stdint cimport INT64_MIN, int64_t

from cqrs_fast.base.clock cimport as_clock
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.policies.core.token_bucket cimport (
    bucket_init, bucket_remaining, bucket_reset, bucket_reshape, bucket_retime,
    bucket_take, bucket_wait, cqrs_bucket,
)

from math import gcd

from cqrs_fast.base.arguments import seconds_to_ns, whole_number
from cqrs_fast.base.naming import check_settings

MOST_TOKENS = 10**12        # in a window or a burst
MOST_KEYS = 10**9


@cython.final
cdef class NewRate:
    """Settings of a TokenBucket that were checked and are not in effect yet."""


@cython.final
cdef class TokenBucket:
    """Admit `requests_per_window` calls in each `window`, and bursts, exactly.

    In any interval of t seconds at most `burst + requests_per_window * t / window`
    tokens are handed out; with the default burst that is up to twice the limit in one
    unlucky window. It starts full. Nothing is rounded, so a rate holds for months.

    Parameters:
        requests_per_window: tokens that come back in each window, from 1 to 10**12.
        window: in seconds, kept in whole nanoseconds.
        burst: the most tokens there are at once; None for `requests_per_window`.
        max_keys: how many keys have a bucket of their own. Only a full bucket makes
            room for a new key; while none is full, the keys without one share one
            bucket.
        clock: a callable that returns nanoseconds; the system's monotonic clock by
            default. Time that goes back counts as no time.

    Raises TypeError or ValueError for an argument that makes no sense, and ValueError
    for a rate that does not fit 64 bits: the window in nanoseconds, divided by its
    greatest common divisor with the limit, times the burst must be less than 2**62.

    A `key` is any hashable object; None stands for the one bucket that belongs to no
    key. A key's own `__hash__` and `__eq__` may call any method here. Safe to use from
    any thread; it holds for one process.
    """

    def __init__(self, requests_per_window=1000, window=60.0, *, burst=None,
                 max_keys=10000, clock=None):
        """Check and keep the parameters: the class describes them."""
        cdef NewRate rate = new_rate(requests_per_window, window, burst, max_keys)
        self.clock = as_clock(clock)
        self.one = Bucket.__new__(Bucket)
        bucket_init(&self.one.state, rate.limit, rate.cost, rate.burst)
        self.keyed = KeyedBuckets.__new__(KeyedBuckets, self.one, rate.max_keys)
        self.take(rate)

    cdef Bucket find(self, object key, int64_t now_ns):
        return self.one if key is None else self.keyed.find(key, now_ns)

    cdef Bucket peek(self, object key):
        return self.one if key is None else self.keyed.peek(key)

    def try_acquire(self, n=1, key=None):
        """Take `n` tokens if they are there; return whether they were.

        Raises ValueError for an `n` below 1 or above the burst, TypeError for one that
        is no int or for an unhashable key.
        """
        # hot
        cdef int64_t tokens = self.tokens(n)
        cdef int64_t now_ns = read_clock(self.clock)
        return bucket_take(&self.find(key, now_ns).state, now_ns, tokens) == 0

    def remaining_tokens(self, key=None):
        """Return how many whole tokens there are now."""
        cdef int64_t now_ns = read_clock(self.clock)
        return bucket_remaining(&self.peek(key).state, now_ns)

    def retry_after(self, n=1, key=None):
        """Return in how many seconds `n` tokens are there if nobody takes any.

        Exact to the nanosecond. Raises as `try_acquire` does.
        """
        cdef int64_t tokens = self.tokens(n)
        cdef int64_t now_ns = read_clock(self.clock)
        cdef int64_t wait_ns = bucket_wait(&self.peek(key).state, now_ns, tokens)
        return max(wait_ns, 0) / 1e9

    def reset(self):
        """Fill every bucket."""
        cdef Bucket bucket
        bucket_reset(&self.one.state)
        for bucket in self.keyed.all():
            bucket_reset(&bucket.state)
        self.keyed.forget_order()

    def update(self, **settings):
        """Change `requests_per_window`, `window`, `burst` or `max_keys` in place.

        Each bucket keeps its share of the burst: one that was half full still is. A
        burst of None goes on to follow the limit. All or nothing; raises as the
        constructor does, and TypeError for an unknown name.
        """
        self.take(self.checked(settings))

    def settings(self):
        """Return the settings under the names of the parameters, without the clock."""
        return {
            "requests_per_window": self.requests_per_window,
            "window": self.window,
            "burst": self.own_burst,
            "max_keys": self.keyed.max_keys,
        }

    @property
    def keys(self):
        """How many keys have a bucket of their own."""
        return len(self.keyed)

    @property
    def overflowed(self):
        """How often a key found no room and took from the bucket that such share."""
        return self.keyed.overflowed

    def __repr__(self):
        return (
            f"TokenBucket({self.requests_per_window}, {self.window!r}, "
            f"burst={self.burst})"
        )

    cdef list all(self):
        return [self.one, *self.keyed.all()]

    cdef int tell_time_by(self, Clock clock) except -1:
        cdef Bucket bucket
        cdef int64_t now_ns = read_clock(self.clock)
        cdef int64_t other_now_ns = read_clock(clock)
        self.clock = clock
        for bucket in self.all():
            bucket_retime(&bucket.state, now_ns, other_now_ns)
        self.keyed.forget_order()
        return 0

    cdef int64_t tokens(self, object n) except -1:
        cdef int64_t tokens
        # hot: the check of arguments.py is a call of Python
        if type(n) is int and 1 <= n <= self.burst:
            tokens = n
            return tokens
        whole_number("n", n, 1, MOST_TOKENS)
        raise ValueError(f"n must be at most the burst of {self.burst}, got {n!r}")

    cdef NewRate checked(self, dict settings):
        cdef NewRate rate
        new = {**self.settings(), **settings}
        check_settings("TokenBucket", settings, self.settings())
        rate = new_rate(
            new["requests_per_window"], new["window"], new["burst"], new["max_keys"]
        )
        rate.clock = self.clock
        rate.now_ns = read_clock(self.clock)
        return rate

    cdef int take(self, NewRate rate) noexcept:
        cdef cqrs_bucket *one = &self.one.state
        # Readings of two clocks do not compare: then no time counts as passed.
        cdef int64_t now_ns = rate.now_ns if rate.clock is self.clock else INT64_MIN
        if (
            rate.limit != one.limit
            or rate.cost != one.cost
            or rate.burst * rate.cost != one.cap
        ):
            bucket_reshape(one, now_ns, rate.limit, rate.cost, rate.burst)
            self.keyed.reshape(now_ns, rate.limit, rate.cost, rate.burst)
        self.keyed.max_keys = rate.max_keys
        self.requests_per_window = rate.requests_per_window
        self.burst = rate.burst
        # Nothing is released here: that could run any code.
        self.window, rate.window = rate.window, self.window
        self.own_burst, rate.own_burst = rate.own_burst, self.own_burst
        return 0


cdef NewRate new_rate(
    object requests_per_window, object window, object burst, object max_keys
):
    """Check a rate; limit and window lose their greatest common divisor."""
    cdef NewRate rate = NewRate.__new__(NewRate)
    whole_number("requests_per_window", requests_per_window, 1, MOST_TOKENS)
    window_ns = seconds_to_ns("window", window)
    most = requests_per_window
    if burst is not None:
        most = whole_number("burst", burst, 1, MOST_TOKENS)
    divisor = gcd(requests_per_window, window_ns)
    cost = window_ns // divisor
    if most * cost >= 2**62:
        raise ValueError(
            f"requests_per_window={requests_per_window!r} in window={window!r} with "
            f"burst={most!r} does not fit 64 bits: choose a smaller burst, or numbers "
            "that have a greater common divisor"
        )
    rate.max_keys = whole_number("max_keys", max_keys, 1, MOST_KEYS)
    rate.limit = requests_per_window // divisor
    rate.cost = cost
    rate.burst = most
    rate.requests_per_window = requests_per_window
    rate.window = window
    rate.own_burst = burst
    rate.now_ns = INT64_MIN
    return rate


signed(TokenBucket)
constructed(TokenBucket)
