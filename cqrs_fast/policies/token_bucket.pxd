"""TokenBucket: an exact rate limit, for all together or for each key."""

from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.policies.keyed_buckets cimport Bucket, KeyedBuckets


cdef class NewRate:
    # Settings of a TokenBucket that were checked and are not in effect yet.
    cdef int64_t limit, cost, burst         # as the arithmetic takes them
    cdef int64_t requests_per_window, max_keys
    cdef object window, own_burst           # as given; then what they replace
    cdef Clock clock                        # when they were checked, and by which clock
    cdef int64_t now_ns


cdef class TokenBucket:
    cdef readonly int64_t requests_per_window
    cdef readonly object window             # as given, in seconds
    cdef readonly int64_t burst             # in effect
    cdef object own_burst                   # as given: None follows the limit
    cdef Clock clock
    cdef Bucket one                         # where no key is given
    cdef KeyedBuckets keyed

    # The bucket to take from, before any other code runs; None has one of its own.
    cdef Bucket find(self, object key, int64_t now_ns)
    # The bucket that it would take from, without making one.
    cdef Bucket peek(self, object key)
    # Every bucket that there is.
    cdef list all(self)
    # Keep the credit and go on by another clock.
    cdef int tell_time_by(self, Clock clock) except -1
    cdef int64_t tokens(self, object n) except -1
    # What `update` takes, checked: to be taken once. Runs no user code.
    cdef NewRate checked(self, dict settings)
    cdef int take(self, NewRate rate) noexcept
