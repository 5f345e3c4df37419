"""RetryPolicy: call again what failed, after a growing delay and within a budget."""

cimport cython
from cpython.ref cimport PyObject

from cqrs_fast.base.calling cimport is_awaitable, may_be_promise
from cqrs_fast.base.clock cimport as_clock
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.error_kinds cimport is_deterministic, is_group, leaves_of, matches
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.context cimport NO_DEADLINE
from cqrs_fast.policies.delay cimport block

import os
from operator import attrgetter

from cqrs_fast.base.arguments import (
    choice, exception_classes, real_number, seconds_or_zero, seconds_to_ns,
    whole_number,
)
from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.base.naming import check_settings
from cqrs_fast.base.promises import check_plain, promise_error, unfinished
from cqrs_fast.base.shown_settings import settings_text
from cqrs_fast.domain_errors import DomainError
from cqrs_fast.errors import HandlerNotFoundError, RejectedError, ValidationError
from cqrs_fast.policies.delay import suspend
from cqrs_fast.stats import RetryStats


cdef extern from *:
    """
    /* Seconds in nanoseconds; 0 for what is no positive number. Runs no user code. */
    static int64_t cqrs_retry_after_ns(PyObject *seconds) {
        double value = 0.0;
        int beyond = 0;
        if (PyFloat_Check(seconds)) {
            value = PyFloat_AS_DOUBLE(seconds);
        } else if (PyLong_Check(seconds) && !PyBool_Check(seconds)) {
            value = (double)PyLong_AsLongLongAndOverflow(seconds, &beyond);
            value = beyond > 0 ? Py_HUGE_VAL : value;
        }
        if (!(value > 0.0)) {
            return 0;
        }
        return value < 1e9 ? (int64_t)(value * 1e9) : (int64_t)1000000000000000000;
    }
    """
    int64_t retry_after_ns "cqrs_retry_after_ns"(object seconds) noexcept


cdef str PLAIN = "it must be a plain function"
cdef tuple JITTERS = ("full", "equal", "none")
cdef tuple NEVER = (ValidationError, HandlerNotFoundError, RejectedError)
cdef tuple DOMAIN = (DomainError,)


@cython.final
cdef class RetryState:
    """Budget and counters; policies that follow one another share it."""


@cython.final
cdef class RetryPolicy:
    """Call a function again while it fails, after a growing, random delay.

    Parameters:
        max_attempts: in all, the first one included; 1 never retries.
        base_delay: in seconds, before the second attempt; 0 for none.
        max_delay: in seconds; no delay is longer.
        multiplier: what each delay is longer by than the one before, at least 1.
        jitter: "full" takes a random delay from 0 to that, "equal" one from its half
            on, "none" that itself.
        max_elapsed: in seconds since the first attempt began; no attempt begins later.
        retry_on: the Exception class, or tuple of such, to retry; None: every one. An
            exception group is retried if each of its members is.
        never_on: classes of these that are not retried all the same. A group with one
            such member is not.
        budget: at any retry, those of the last `budget_ttl` are at most this percentage
            of the first attempts in it, plus what `budget_min_per_sec` allows; an int.
            None: without a limit.
        budget_min_per_sec: retries a second that need no first attempts.
        budget_ttl: in seconds.
        on_retry: `on_retry(attempt, delay, error_type)`, called before each delay (in
            seconds) with the number of the attempt that failed. What it raises is
            reported and changes nothing.
        seed: of the random delays, an int; None takes one from the system.
        clock: the source of time: a callable that returns nanoseconds,
            time.monotonic_ns by default.

    An error may ask for a longer delay by an attribute `retry_after`, in seconds, which
    counts up to `max_delay`. Never retried: DomainError, ValidationError,
    HandlerNotFoundError, any RejectedError, and a BaseException that is no Exception.
    When it gives up the last error itself is raised; those before it are gone.

    One object may serve any number of threads and event loops, which share the budget.
    Raises TypeError or ValueError for an argument that makes no sense.

    Backoff and jitter follow "Exponential Backoff And Jitter" (Marc Brooker, AWS
    Architecture Blog), the budget Finagle's RetryBudget.
    """

    def __init__(self, max_attempts=3, base_delay=0.1, *, max_delay=5.0, multiplier=2.0,
                 jitter="full", max_elapsed=None, retry_on=None, never_on=(),
                 budget=None, budget_min_per_sec=10, budget_ttl=10.0, on_retry=None,
                 seed=None, clock=None):
        """Check and keep the parameters: the class describes them."""
        if seed is None:
            seed = int.from_bytes(os.urandom(8), "little")
        seed = whole_number("seed", seed, 0, 2**64 - 1)
        self.clock = as_clock(clock)
        given = {
            "max_attempts": max_attempts,
            "base_delay": base_delay,
            "max_delay": max_delay,
            "multiplier": multiplier,
            "jitter": jitter,
            "max_elapsed": max_elapsed,
            "retry_on": Exception if retry_on is None else retry_on,
            "never_on": never_on,
            "budget": budget,
            "budget_min_per_sec": budget_min_per_sec,
            "budget_ttl": budget_ttl,
            "on_retry": on_retry,
        }
        self.adopt(given)
        self.state = RetryState.__new__(RetryState)
        cqrs_retry_init(
            &self.state.core, self.rules.bucket_ns, seed, read_clock(self.clock)
        )

    cdef int adopt(self, dict given) except -1:
        self.retry_on, self.never_on, self.on_retry, max_elapsed_ns = check(
            given, &self.rules
        )
        self.given = given
        self.max_elapsed_ns = NO_DEADLINE if max_elapsed_ns is None else max_elapsed_ns
        self.timed = given["budget"] is not None or max_elapsed_ns is not None
        return 0

    cdef RetryPolicy revised(self, dict settings):
        cdef RetryPolicy new
        check_settings("RetryPolicy", settings, self.given)
        new = RetryPolicy.__new__(RetryPolicy)
        new.spares = self.spares
        new.adopt({**self.given, **settings})
        new.state = self.state
        new.clock = self.clock
        return new

    cdef int take(self, RetryPolicy new) noexcept:
        # Replaced objects are released last, with `new`: that can run any code.
        self.rules = new.rules
        self.timed = new.timed
        self.spares = new.spares
        self.max_elapsed_ns = new.max_elapsed_ns
        self.given, new.given = new.given, self.given
        self.retry_on, new.retry_on = new.retry_on, self.retry_on
        self.never_on, new.never_on = new.never_on, self.never_on
        self.on_retry, new.on_retry = new.on_retry, self.on_retry
        return 0

    cdef int settle(self) except -1:
        cdef int64_t now_ns = read_clock(self.clock)
        cqrs_retry_rebucket(&self.state.core, self.rules.bucket_ns, now_ns)
        return 0

    cdef int tell_time_by(self, Clock clock) except -1:
        cdef int64_t now_ns = read_clock(clock)
        self.clock = clock
        cqrs_retry_restart(&self.state.core, now_ns)
        return 0

    def update(self, **settings):
        """Change settings in place, all or none; the budget keeps its credits.

        Takes the parameters of the constructor but `seed` and `clock`, and raises as
        it does; TypeError for an unknown name. What runs goes on with the new ones,
        but with the `max_elapsed` that it began with.
        """
        cdef RetryPolicy new = self.revised(settings)
        new.settle()
        self.take(new)

    def settings(self):
        """Return the settings under the names of the parameters, classes by name."""
        shown = dict(self.given)
        shown["retry_on"] = names_of(shown["retry_on"])
        shown["never_on"] = names_of(shown["never_on"])
        if self.spares:
            shown["never_on"].append("DETERMINISTIC")
        if self.on_retry is not None:
            shown["on_retry"] = getattr(
                self.on_retry, "__qualname__", type(self.on_retry).__qualname__
            )
        return shown

    def __repr__(self):
        return settings_text(RetryPolicy, self.settings())

    def stats(self):
        """Return a RetryStats, one consistent picture of its counters."""
        cdef cqrs_retry_counters seen
        cdef int64_t credit
        cdef int64_t now_ns = read_clock(self.clock)
        cqrs_retry_observe(&self.state.core, &self.rules, now_ns, &seen, &credit)
        left = max(credit, 0) // CQRS_RETRY_PRICE if self.rules.percent > 0 else None
        return RetryStats(
            failed=seen.failed, retries=seen.retries, exhausted=seen.exhausted,
            too_late=seen.too_late, budget_refused=seen.refused, budget_left=left,
        )

    def snapshot(self):
        """Return the same as `stats()`."""
        return self.stats()

    def call(self, function, /, *args, **kwargs):
        """Return `function(*args, **kwargs)`, called again while it fails.

        The delays block this thread; a signal handler that raises ends them. Raises
        the last error. A TypeError refuses a promise of work, whose errors would come
        too late: an awaitable, an async generator, and what a generator function
        returns; it is closed, and not called again.
        """
        cdef int64_t attempt = 0
        cdef int64_t delay_ns
        cdef int64_t ends_ns = self.begin(read_clock(self.clock) if self.timed else 0)
        while True:
            # Called and waited for outside of the handler: no later error is chained.
            try:
                result = function(*args, **kwargs)
            except Exception as error:
                failure = error
            else:
                break
            attempt += 1
            delay_ns = self.after(failure, attempt, ends_ns)
            if delay_ns < 0:
                raise failure
            failure = None
            if delay_ns > 0:
                block(self.clock, delay_ns)
        if may_be_promise(<PyObject *>result):
            refused = unfinished(function, result, awaits=False)
            if refused is not None:
                raise refused
        return result

    async def call_async(self, function, /, *args, **kwargs):
        """Return `await function(*args, **kwargs)`, called again while it fails.

        A `function` that returns no awaitable serves too. Raises the last error; a
        cancellation ends a delay at once. A TypeError rejects generators, as in `call`.
        """
        cdef int64_t attempt = 0
        cdef int64_t delay_ns
        cdef int64_t ends_ns = self.begin(read_clock(self.clock) if self.timed else 0)
        while True:
            try:
                result = function(*args, **kwargs)
                if is_awaitable(<PyObject *>result):
                    result = await result
            except Exception as error:
                failure = error
            else:
                break
            attempt += 1
            delay_ns = self.after(failure, attempt, ends_ns)
            if delay_ns < 0:
                raise failure
            failure = None
            if delay_ns > 0:
                await suspend(self.clock, delay_ns)
        if may_be_promise(<PyObject *>result):
            refused = unfinished(function, result, awaits=True)
            if refused is not None:
                raise refused
        return result

    cdef int64_t after(self, object error, int64_t attempt, int64_t ends_ns) except -2:
        if not self.covers(error, DOMAIN):
            return -1
        return self.decide(error, attempt, ends_ns, NO_DEADLINE, "RetryPolicy.call")

    cdef int64_t begin(self, int64_t now_ns) noexcept:
        # hot
        if not self.timed:
            return NO_DEADLINE
        cqrs_retry_first(&self.state.core, &self.rules, now_ns)
        if self.max_elapsed_ns == NO_DEADLINE:
            return NO_DEADLINE
        return now_ns + self.max_elapsed_ns

    cdef bint covers(self, object error, tuple domain_errors) except -1:
        cdef bint wanted = matches(<PyObject *>error, <PyObject *>self.retry_on)
        if not is_group(<PyObject *>error):
            return wanted and not self.gives_up_on(error, domain_errors)
        if matches(<PyObject *>error, <PyObject *>self.never_on):
            return False
        for member in leaves_of(error):
            if self.gives_up_on(member, domain_errors):
                return False
            if not wanted:
                if not matches(<PyObject *>member, <PyObject *>self.retry_on):
                    return False
        return True

    cdef bint gives_up_on(self, object error, tuple domain_errors) except -1:
        if matches(<PyObject *>error, <PyObject *>self.never_on):
            return True
        if matches(<PyObject *>error, <PyObject *>domain_errors):
            return True
        return self.spares and is_deterministic(error)

    cdef int64_t decide(self, object error, int64_t attempt, int64_t ends_ns,
                        int64_t left_ns, str name) except -2:
        cdef int64_t now_ns = 0
        cdef int64_t delay_ns = 0
        cdef int64_t after_ns = asked_for(error)
        if self.timed or ends_ns != NO_DEADLINE:
            now_ns = read_clock(self.clock)
        if ends_ns != NO_DEADLINE:
            left_ns = min(left_ns, ends_ns - now_ns)
        if cqrs_retry_decide(
            &self.state.core, &self.rules, attempt, after_ns, left_ns, now_ns, &delay_ns
        ) != CQRS_RETRY_AGAIN:
            return -1
        listener = self.on_retry
        if listener is not None:
            try:
                returned = listener(attempt, delay_ns / 1e9, type(error))
                if is_awaitable(<PyObject *>returned):
                    raise promise_error("on_retry", returned, PLAIN)
            except Exception as raised:
                report_callback_error("on_retry", name, raised)
        return delay_ns


cdef tuple check(dict given, cqrs_retry_settings *settings):
    """Fill `settings`; return the classes, the listener and the longest time."""
    cdef int64_t ttl_ns
    settings.max_attempts = whole_number(
        "max_attempts", given["max_attempts"], 1, 10**9
    )
    settings.base_ns = seconds_or_zero("base_delay", given["base_delay"])
    settings.max_ns = seconds_or_zero("max_delay", given["max_delay"])
    settings.multiplier = real_number("multiplier", given["multiplier"], 1, 1000)
    jitter = choice("jitter", given["jitter"], JITTERS)
    if jitter == "full":
        settings.jitter = CQRS_JITTER_FULL
    else:
        settings.jitter = CQRS_JITTER_EQUAL if jitter == "equal" else CQRS_JITTER_NONE
    settings.percent = 0
    if given["budget"] is not None:
        settings.percent = whole_number("budget", given["budget"], 1, 1000)
    least = whole_number(
        "budget_min_per_sec", given["budget_min_per_sec"], 0, 1_000_000
    )
    ttl_ns = seconds_to_ns("budget_ttl", given["budget_ttl"])
    settings.bucket_ns = (ttl_ns + CQRS_RETRY_BUCKETS - 1) // CQRS_RETRY_BUCKETS
    ttl = settings.bucket_ns * CQRS_RETRY_BUCKETS
    settings.reserve = least * CQRS_RETRY_PRICE * ttl // 1_000_000_000
    max_elapsed_ns = None
    if given["max_elapsed"] is not None:
        max_elapsed_ns = seconds_to_ns("max_elapsed", given["max_elapsed"])
    retry_on = exception_classes("retry_on", given["retry_on"])
    never_on = exception_classes("never_on", given["never_on"]) + NEVER
    on_retry = given["on_retry"]
    if on_retry is not None:
        if not callable(on_retry):
            raise TypeError(f"on_retry must be callable, got {on_retry!r}")
        check_plain("on_retry", on_retry, f", got {on_retry!r}")
    return retry_on, never_on, on_retry, max_elapsed_ns


cdef list names_of(object classes):
    found = classes if isinstance(classes, tuple) else (classes,)
    return list(map(attrgetter("__qualname__"), found))


cdef int64_t asked_for(object error) except -1:
    """The delay that an error asks for; its `retry_after` may be users' code."""
    try:
        return retry_after_ns(getattr(error, "retry_after", None))
    except Exception:
        pass
    return 0


signed(RetryPolicy)
constructed(RetryPolicy)
internal(RetryState)
