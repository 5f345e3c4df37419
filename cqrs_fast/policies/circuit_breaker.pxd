"""CircuitBreaker: stop calling what keeps failing, and probe if it has recovered."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.policies.announcer cimport Announcer
from cqrs_fast.policies.core.circuit_breaker cimport (
    Breaker, Changes, Limits, Permit, Picture,
)


cdef class BreakerPlan:
    """Settings as the decisions take them; shared by breakers, never changed."""

    cdef object checked                 # what circuit_state.check returned
    cdef Limits limits                  # probe_timeout_ns is 0 where it follows others
    cdef bint asks                      # they have a callback that judges results
    cdef object listener                # called for transitions, or None


cdef class CircuitBreaker:
    cdef Breaker core
    cdef readonly Clock clock           # None is the system clock
    cdef object checked                 # the settings; swapped as a whole
    cdef int64_t attempt_ns             # the longest timeout inside, or 0
    cdef bint asks                      # they have a callback that judges results
    cdef readonly str name              # in its errors and events, or None
    cdef Announcer announcer

    # Admit a call, or raise the rejection.
    cdef Permit admit(self) except *
    # Admit a call that `passes` did not, or fill `seen` in. What is raised holds
    # no permit.
    cdef bint ask(self, Permit *permit, Picture *seen) except -1
    # Take the permit back with a result or an error (the other is NULL). `ran`: what
    # it protects was called. Errors of `domain_errors` are successes.
    cdef int complete(
        self, Permit *permit, PyObject *result, PyObject *error, bint ran,
        tuple domain_errors,
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
    cdef int announce(self, const Changes *changes) except -1
    cdef int force(self, int state) except -1
    cdef Picture look(self) except *


# The plan of what circuit_state.check or changed returned.
cdef BreakerPlan plan_of(object checked)

cdef CircuitBreaker new_breaker(BreakerPlan plan, Clock clock, uint64_t seed, str name)
