"""RetryPolicy: call again what failed, after a growing delay and within a budget."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from cqrs_fast.base.clock cimport Clock


cdef extern from "cqrs_fast/policies/core/retry.h":
    enum:
        CQRS_RETRY_BUCKETS
        CQRS_RETRY_PRICE
        CQRS_JITTER_FULL
        CQRS_JITTER_EQUAL
        CQRS_JITTER_NONE
        CQRS_RETRY_AGAIN

    ctypedef struct cqrs_retry_settings:
        int64_t max_attempts
        int64_t base_ns
        int64_t max_ns
        double multiplier
        int32_t jitter
        int32_t percent
        int64_t reserve
        int64_t bucket_ns

    ctypedef struct cqrs_retry_counters:
        uint64_t failed
        uint64_t retries
        uint64_t exhausted
        uint64_t too_late
        uint64_t refused

    ctypedef struct cqrs_retry:
        pass

    void cqrs_retry_init(
        cqrs_retry *, int64_t bucket_ns, uint64_t seed, int64_t now_ns
    ) noexcept nogil
    # Let buckets be so long; credits go on to count.
    void cqrs_retry_rebucket(
        cqrs_retry *, int64_t bucket_ns, int64_t now_ns
    ) noexcept nogil
    # Begin anew in the time of another clock, with nothing deposited.
    void cqrs_retry_restart(cqrs_retry *, int64_t now_ns) noexcept nogil
    # A first attempt begins.
    void cqrs_retry_first(
        cqrs_retry *, const cqrs_retry_settings *, int64_t now_ns
    ) noexcept nogil
    # An attempt failed: CQRS_RETRY_AGAIN, or why there is no other.
    int cqrs_retry_decide(
        cqrs_retry *, const cqrs_retry_settings *, int64_t attempt, int64_t after_ns,
        int64_t left_ns, int64_t now_ns, int64_t *delay_ns
    ) noexcept nogil
    void cqrs_retry_observe(
        cqrs_retry *, const cqrs_retry_settings *, int64_t now_ns,
        cqrs_retry_counters *, int64_t *credit
    ) noexcept nogil


cdef class RetryState:
    """Budget and counters; policies that follow one another share it."""

    cdef cqrs_retry core


cdef class RetryPolicy:
    cdef RetryState state
    cdef cqrs_retry_settings rules
    cdef Clock clock
    cdef bint timed             # a budget or max_elapsed: the time matters
    cdef int64_t max_elapsed_ns         # NO_DEADLINE without a limit
    cdef tuple retry_on, never_on       # the latter with what never is retried
    cdef bint spares                    # deterministic errors are not retried
    cdef object on_retry                # None if nobody listens
    cdef dict given                     # the settings under the names of the parameters

    # A first attempt begins: until when another may. `now_ns` matters only if timed.
    cdef int64_t begin(self, int64_t now_ns) noexcept

    # Whether `error` is of a kind that is retried; none of a domain class is.
    cdef bint covers(self, object error, tuple domain_errors) except -1
    cdef bint gives_up_on(self, object error, tuple domain_errors) except -1

    # Attempt number `attempt` failed with an error of that kind: the delay before the
    # next one, or -1 to give up. `ends_ns` is what begin returned, `left_ns` what is
    # left of another deadline, and `name` what a report calls the caller.
    cdef int64_t decide(self, object error, int64_t attempt, int64_t ends_ns,
                        int64_t left_ns, str name) except -2

    # The same for a caller without a deadline; errors of other kinds give up too.
    cdef int64_t after(self, object error, int64_t attempt, int64_t ends_ns) except -2

    # Check settings and take them, at first.
    cdef int adopt(self, dict given) except -1
    # A policy with some settings changed, on the same state.
    cdef RetryPolicy revised(self, dict settings)
    # Put the settings of what `revised` made in effect; nothing is freed.
    cdef int take(self, RetryPolicy new) noexcept
    # The life of deposits is from now on that of these settings.
    cdef int settle(self) except -1

    # Tell time by `clock` from now on; its readings and older ones do not compare.
    cdef int tell_time_by(self, Clock clock) except -1
