"""The decisions of a circuit breaker, and what they are about."""

from libc.stdint cimport int64_t, uint64_t


cdef extern from "cqrs_fast/policies/core/circuit_breaker.h":
    enum:
        CQRS_BREAKER_CLOSED
        CQRS_BREAKER_FORCED_OPEN
        CQRS_BREAKER_DISABLED
        CQRS_BREAKER_SUCCESS
        CQRS_BREAKER_FAILURE
        CQRS_BREAKER_IGNORED
        CQRS_BREAKER_ANSWERED

    ctypedef struct Limits "cqrs_breaker_limits":
        int64_t failure_threshold
        int64_t success_threshold
        int64_t half_open_max_calls
        int64_t timeout_ns
        int64_t probe_timeout_ns
        int64_t max_timeout_ns
        double timeout_multiplier
        double timeout_jitter

    # What a call holds from its admission to its completion; all zero is none.
    ctypedef struct Permit "cqrs_breaker_permit":
        uint64_t token
        int64_t probe

    ctypedef struct Change "cqrs_breaker_change":
        uint64_t number
        int64_t failures
        int before
        int after

    # The transitions of one decision.
    ctypedef struct Changes "cqrs_breaker_changes":
        Change made[2]
        int count

    ctypedef struct Picture "cqrs_breaker_picture":
        int64_t failures, successes, probes
        int64_t retry_after_ns          # 0: admitted now; -1: unknown
        uint64_t opened, rejected, late_results
        int state

    ctypedef struct Breaker "cqrs_breaker":
        pass

    void breaker_init "cqrs_breaker_init"(
        Breaker *, const Limits *, uint64_t seed
    ) noexcept
    void breaker_configure "cqrs_breaker_configure"(Breaker *, const Limits *) noexcept
    # Admit a call if it is closed: one load, no time needed.
    bint breaker_passes "cqrs_breaker_passes"(Breaker *, Permit *) noexcept
    # Whether a success would write nothing: one load.
    bint breaker_unmoved "cqrs_breaker_unmoved"(Breaker *, const Permit *) noexcept
    bint breaker_admit "cqrs_breaker_admit"(
        Breaker *, int64_t now_ns, Permit *, Picture *, Changes *
    ) noexcept
    void breaker_record "cqrs_breaker_record"(
        Breaker *, int64_t now_ns, Permit *, int outcome, Changes *
    ) noexcept
    void breaker_force "cqrs_breaker_force"(Breaker *, int state, Changes *) noexcept
    void breaker_look "cqrs_breaker_look"(
        Breaker *, int64_t now_ns, Picture *, Changes *
    ) noexcept
