"""CircuitBreaker: stop calling what keeps failing, and probe if it has recovered."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from cqrs_fast.base.clock cimport Clock


cdef extern from "cqrs_fast/policies/core/circuit_breaker.h":
    enum:
        CQRS_BREAKER_CLOSED
        CQRS_BREAKER_FORCED_OPEN
        CQRS_BREAKER_DISABLED
        CQRS_BREAKER_SUCCESS
        CQRS_BREAKER_FAILURE
        CQRS_BREAKER_IGNORED

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


cdef class Announcer:
    """Transitions on their way to a callback: each one once, in order."""

    cdef Change *waiting                # a ring
    cdef Py_ssize_t size, first, count
    cdef bint delivering
    cdef unsigned long deliverer        # the thread that does
    cdef Py_ssize_t echoes              # made by its callbacks meanwhile
    cdef uint64_t lost

    # Take the transitions of a decision in; to be called before anything else runs.
    cdef int put(self, const Changes *changes) noexcept
    # Hand all that wait to the callback, unless somebody does already. Raises only
    # what is no Exception.
    cdef int deliver(self, CircuitBreaker breaker) except -1


cdef class BreakerPlan:
    """Settings as the decisions take them; shared by breakers, never changed."""

    cdef object checked                 # what circuit_state.check returned
    cdef Limits limits                  # probe_timeout_ns is 0 where it follows others
    cdef bint asks                      # they have a callback that judges results


cdef class CircuitBreaker:
    cdef Breaker core
    cdef readonly Clock clock           # None is the system clock
    cdef object checked                 # the settings; swapped as a whole
    cdef int64_t attempt_ns             # the longest timeout inside, or 0
    cdef bint asks                      # they have a callback that judges results
    cdef readonly str name              # in its errors and events, or None
    cdef Announcer announcer

    # Admit a call, or raise the refusal.
    cdef Permit admit(self) except *
    # Admit a call that `passes` did not, or fill `seen` in. What is raised holds
    # no permit.
    cdef bint ask(self, Permit *permit, Picture *seen) except -1
    # Take the permit back with a result or an error (the other is NULL).
    cdef int complete(
        self, Permit *permit, PyObject *result, PyObject *error
    ) except -1
    # Why a call is not admitted, as a fresh error.
    cdef object refusal(self, const Picture *seen, str middleware, str name)
    # Grant a probe the time of an attempt that has a timeout of its own.
    cdef int cover(self, int64_t attempt_ns) except -1
    # Go on with other settings. No user code runs as long as the caller holds those of
    # before.
    cdef int configure(self, BreakerPlan plan) noexcept
    # Count a permit back with no meaning.
    cdef int give_back(self, Permit *permit) noexcept
    # The outcome that the settings see in a result or an error.
    cdef int judge(self, PyObject *result, PyObject *error) except -1
    cdef int announce(self, const Changes *changes) except -1
    cdef int force(self, int state) except -1
    cdef Picture look(self) except *


# The plan of what circuit_state.check or changed returned.
cdef BreakerPlan plan_of(object checked)

cdef CircuitBreaker new_breaker(BreakerPlan plan, Clock clock, uint64_t seed, str name)


# What a healthy breaker costs: one load on each way.

cdef inline bint passes(CircuitBreaker breaker, Permit *permit) noexcept:
    return breaker_passes(&breaker.core, permit)

# Whether a result needs no judgement and would write nothing.
cdef inline bint unmoved(CircuitBreaker breaker, const Permit *permit) noexcept:
    return not breaker.asks and breaker_unmoved(&breaker.core, permit)
