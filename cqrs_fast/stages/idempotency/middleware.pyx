"""Idempotency: a command that is sent again is not done again."""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport INT64_MAX, int64_t, uint64_t

from cqrs_fast.base.calling cimport is_used_up
from cqrs_fast.base.clock cimport Clock, as_clock
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.error_kinds cimport is_domain, names_domain
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.context cimport NO_DEADLINE
from cqrs_fast.pipeline.deadline cimport is_own_fate, remaining_ns
from cqrs_fast.pipeline.frame cimport ENDED, PROCEED, STOP, Frame
from cqrs_fast.pipeline.frame_ops cimport seen_context, set_error, set_result
from cqrs_fast.pipeline.route cimport Route, frame_name
from cqrs_fast.pipeline.stage cimport RouteSpec, Stage
from cqrs_fast.pipeline.waiting cimport wait_in_line
from cqrs_fast.stages.idempotency.records cimport (
    ENDED_FINALLY, IN_PROGRESS, SUCCEEDED, UNREPEATABLE, Attempt, Record, Records,
)
from cqrs_fast.validation.key_hash cimport hash_frozen, same_key
from cqrs_fast.validation.key_ops cimport scope_of
from cqrs_fast.validation.key_plan cimport KeyPlan, plan_of
from cqrs_fast.validation.keys cimport fingerprint_of, freeze_key, typed_key
from cqrs_fast.waits.flight cimport ALONE, ANSWERED, LEADING, Flight, Role

from cqrs_fast.base.arguments import (
    choice, exception_classes, seconds_to_ns, whole_number,
)
from cqrs_fast.base.callables import plain_callable
from cqrs_fast.base.error_copies import copied_error
from cqrs_fast.base.naming import label_of
from cqrs_fast.errors import (
    IdempotencyConflictError, IdempotencyInProgressError, OverloadedError,
)
from cqrs_fast.stats import IdempotencyStats
from cqrs_fast.validation.keys import Unkeyable

cdef enum:
    EXPIRED_PER_INSERT = 4

cdef int64_t MOST_RECORDS = 1 << 30
cdef str KIND = "IdempotencyMiddleware"
cdef str INSTEAD = "it is asked on the way into a sync or async dispatch alike"


@cython.final
cdef class IdempotencyMiddleware(Stage):
    """Do a command with an idempotency key once in this process, not across processes.

    The key belongs to the class of the command and to `ctx.principal`; a command that
    has none, or None, passes through. The first with a key is done and its result kept;
    whoever sends the same again gets that result. With other fields it is an
    IdempotencyConflictError. A command that fails may be sent again, and is done again.
    One whose result its use consumes, a generator or an open file say, is not done
    again either: its duplicates get a ResultTypeError; it is logged once.

    Parameters:
        key: `key(command)` returns its key; by default its `idempotency_key`.
        ttl: the seconds that a result is kept.
        max_records: how many there may be. When it is full and none has expired, new
            keys are rejected with an OverloadedError.
        on_duplicate: "wait" for the one in progress and get its outcome, a copy of its
            error included, or "raise" an IdempotencyInProgressError. That is raised
            too where waiting would never end: inside of the command itself, and for a
            sync duplicate in a thread that runs an event loop.
        final_on: Exception classes that are kept as results are: a copy, without its
            traceback, is raised for each duplicate. In the place of one that cannot be
            copied, for its `__del__` or its state in C, they get a ResultTypeError.
        lease: the seconds after which one in progress is given up: the next with its
            key is done. A deadline of the dispatch takes the place of it. One whose
            event loop is closed is given up when the next comes.
        clock: for tests; by default that of the bus.

    `update` changes all of these but `clock`; records stay. Routes that were built to
    raise do not begin to wait.

    Raises TypeError or ValueError for an argument that makes no sense, and TypeError on
    a query bus. What `key` raises reaches the caller, as does a TypeError for a key,
    a principal or fields that cannot be compared by content. One object may serve
    several buses, threads and event loops at once.
    """

    cdef dict given                 # by the names of the parameters
    cdef object key                 # a callable, or None
    cdef int64_t ttl_ns, lease_ns, max_records
    cdef bint waits
    cdef tuple final_on
    cdef Clock clock
    cdef Records records
    cdef uint64_t replayed, conflicts, refused

    def __cinit__(self):
        self.has_slot = self.calls_user_code = True

    def __init__(self, key=None, *, ttl=3600.0, max_records=100000, on_duplicate="wait",
                 final_on=(), lease=300.0, clock=None):
        """Check and keep the parameters: the class describes them."""
        self.clock = as_clock(clock)
        self.records = Records()
        self.key = None if key is None else plain_callable("key", key, INSTEAD)
        self.ttl_ns = seconds_to_ns("ttl", ttl)
        self.max_records = whole_number("max_records", max_records, 1, MOST_RECORDS)
        self.waits = choice("on_duplicate", on_duplicate, ("wait", "raise")) == "wait"
        self.final_on = exception_classes("final_on", final_on)
        self.lease_ns = seconds_to_ns("lease", lease)
        self.may_wait = self.waits
        self.given = {
            "key": key,
            "ttl": ttl,
            "max_records": max_records,
            "on_duplicate": on_duplicate,
            "final_on": self.final_on,
            "lease": lease,
        }

    def settings(self):
        """Return the effective settings, under the names of the parameters."""
        key = None if self.key is None else label_of(self.key)
        return {**self.given, "key": key}

    def __len__(self):
        return len(self.records.known)

    def sweep(self):
        """Remove all records whose time is over; return how many."""
        cdef int64_t now_ns = read_clock(self.clock)
        before = len(self.records.known)
        self.records.evict(now_ns, INT64_MAX >> 32)
        return before - len(self.records.known)

    cdef object observed(self):
        cdef Record record
        in_progress = 0
        for record in list(self.records.known.values()):
            in_progress += record.progress == IN_PROGRESS
        return IdempotencyStats(
            size=len(self.records.known),
            max_records=self.max_records,
            in_progress=in_progress,
            replayed=self.replayed,
            conflicts=self.conflicts,
            refused=self.refused,
        )

    cdef dict changeable(self):
        return self.given

    cdef int exchange(self, Stage new) noexcept:
        cdef IdempotencyMiddleware other = <IdempotencyMiddleware>new
        self.given, other.given = other.given, self.given
        self.key, other.key = other.key, self.key
        self.final_on, other.final_on = other.final_on, self.final_on
        self.ttl_ns = other.ttl_ns
        self.lease_ns = other.lease_ns
        self.max_records = other.max_records
        self.waits = other.waits
        return 0

    cdef Stage for_route(self, RouteSpec spec):
        if spec.kind == "query":
            raise TypeError(
                "IdempotencyMiddleware serves commands; a query may be done again "
                "(CachingMiddleware spares it)"
            )
        if self.clock is None:
            self.clock = spec.clock
        return self

    cdef int enter(self, Frame *f) except -1:
        cdef Attempt attempt
        cdef Role role
        if f.slot.object == NULL:
            attempt = self.attempt_of(f)
            if attempt is None:
                return PROCEED
            Py_INCREF(attempt)
            f.slot.object = <PyObject *>attempt
            return self.decide(f, attempt)
        attempt = <Attempt>f.slot.object
        role = attempt.resume()
        outcome, attempt.outcome = attempt.outcome, None
        if role == ALONE:
            # The lease of the one it waited for is over.
            return self.decide(f, attempt)
        if role == LEADING:
            return self.take_over(f, attempt)
        self.replayed += 1
        if role == ANSWERED:
            set_result(f, outcome)
        else:
            set_error(f, copied_error(outcome))
        return STOP

    cdef Attempt attempt_of(self, Frame *f):
        """Return the attempt of a command with a key, or None without a key."""
        cdef Attempt attempt
        cdef uint64_t group, hash
        cdef KeyPlan plan
        message = <object>f.message
        key = key_of_command(message) if self.key is None else self.key(message)
        if key is None:
            return None
        plan = plan_of(type(message))
        attempt = Attempt.__new__(Attempt)
        try:
            frozen = freeze_key(plan, key)
            group = hash = hash_frozen(<PyObject *>frozen, plan.seed, plan.factor)
            scope = scope_of(plan, seen_context(f).state.principal, &hash)
            attempt.key = typed_key(plan, frozen, scope, group, hash)
            attempt.fingerprint = fingerprint_of(plan, message)
        except Unkeyable as error:
            raise TypeError(
                "an idempotent command needs a key, a principal and fields that can be "
                f"compared by content: {error}"
            ) from None
        attempt.identify(f.on_loop)
        return attempt

    cdef int decide(self, Frame *f, Attempt attempt) except -1:
        """Run the command, wait for the one in progress, or answer it."""
        cdef int64_t now_ns = read_clock(self.clock)
        cdef Record record = Record.__new__(Record)
        cdef Record known
        cdef tuple due = self.records.due_of(record, now_ns + self.lease_of(f))
        full = len(self.records.known) >= self.max_records
        self.records.evict(now_ns, INT64_MAX >> 32 if full else EXPIRED_PER_INSERT)
        record.key = attempt.key
        record.fingerprint = attempt.fingerprint
        record.flight = Flight.__new__(Flight)
        known = self.records.find(attempt.key, now_ns)
        if known is not None and known.progress == IN_PROGRESS:
            self.records.skip_closed(known)
            known = self.records.find(attempt.key, now_ns)
        # No Python code runs from here on, or since the last look.
        if known is not None:
            return self.repeat(f, attempt, known, now_ns)
        if len(self.records.known) >= self.max_records:
            if not self.records.known.get(attempt.key):
                return self.refuse(f, now_ns)
        record.flight.lead(attempt)
        attempt.record = record
        self.records.insert(record, due)
        return PROCEED

    cdef int64_t lease_of(self, Frame *f) except? -1:
        cdef int64_t left_ns = remaining_ns(f)
        return self.lease_ns if left_ns == NO_DEADLINE else max(left_ns, 1)

    cdef int repeat(
        self, Frame *f, Attempt attempt, Record known, int64_t now_ns
    ) except -1:
        """Answer a command whose key has a record, or wait for its outcome."""
        cdef PyObject *fields = <PyObject *>attempt.fingerprint
        if not same_key(attempt.key.plan, <PyObject *>known.fingerprint, fields):
            self.conflicts += 1
            set_error(f, IdempotencyConflictError(frame_name(f)))
            return STOP
        if known.progress == IN_PROGRESS:
            if self.waits and self.may_wait and known.flight.admits(attempt):
                known.flight.join(attempt)
                return wait_in_line(f, attempt, self.clock, known.expires_ns - now_ns)
            set_error(f, IdempotencyInProgressError(None, KIND, frame_name(f)))
            return STOP
        self.replayed += 1
        if known.progress == SUCCEEDED:
            set_result(f, known.outcome)
        else:
            set_error(f, self.records.detached(frame_name(f), known.outcome))
        return STOP

    cdef int refuse(self, Frame *f, int64_t now_ns) except -1:
        self.refused += 1
        retry_after = max(self.records.next_ns() - now_ns, 0) / 1e9
        set_error(f, OverloadedError(retry_after, KIND, frame_name(f)))
        return STOP

    cdef int take_over(self, Frame *f, Attempt attempt) except -1:
        """Who was in progress left without an outcome: do it, by its own lease."""
        cdef Record record
        cdef Flight flight = <Flight>attempt.line
        cdef int64_t expires_ns = read_clock(self.clock) + self.lease_of(f)
        record = self.records.known.get(attempt.key)
        if record is not None and record.flight is flight:
            due = self.records.due_of(record, expires_ns)
            if self.records.holds(record):
                attempt.record = record
                self.records.insert(record, due)
                return PROCEED
        # The lease was lost before that: another may be doing it, or have done it.
        flight.pass_on()
        return self.decide(f, attempt)

    cdef int leave(self, Frame *f) except -1:
        cdef Attempt attempt
        cdef Flight flight
        cdef Record record
        if f.slot.object == NULL:
            return PROCEED
        attempt = <Attempt>f.slot.object
        attempt.resume()
        if attempt.role != LEADING:
            return PROCEED
        flight = <Flight>attempt.line
        record = attempt.record
        if record is None:
            record = self.records.known.get(attempt.key)
            if record is not None and record.flight is not flight:
                record = None
        # One that lost its lease to another changes nothing of the other's record.
        # Its own wait was ended: it was just made the leader, and did nothing.
        if f.error != NULL and (f.ending == ENDED or is_own_fate(f)):
            if not flight.pass_on() and record is not None:
                self.records.remove(record)
            return PROCEED
        again = None        # what duplicates get if the result is used up
        try:
            if f.error == NULL and is_used_up(f.result):
                again = UNREPEATABLE
                again = self.records.unrepeatable(frame_name(f), <object>f.result)
            if record is not None and self.records.holds(record):
                self.note(f, record, again)
        except BaseException:
            # Nobody works on it any more. What was done is not done again.
            if record is not None and record.progress == IN_PROGRESS:
                if again is not None:
                    self.records.complete(
                        record, ENDED_FINALLY, again, record.expires_ns
                    )
                elif f.error == NULL:
                    self.records.complete(
                        record, SUCCEEDED, <object>f.result, record.expires_ns
                    )
                else:
                    self.records.remove(record)
            raise
        finally:
            if again is not None:
                flight.fail(again)
            elif f.error == NULL:
                flight.answer(<object>f.result)
            else:
                flight.fail(<object>f.error)
        return PROCEED

    cdef bint is_final(self, Frame *f) except -1:
        cdef tuple domain_errors = (<Route>f.route).gate.domain_errors
        if not is_domain(f.error, domain_errors):
            return isinstance(<object>f.error, self.final_on)
        # An answer may be another one tomorrow, so a base alone does not name it.
        return names_domain(self.final_on, f.error, domain_errors)

    cdef int note(self, Frame *f, Record record, object again) except -1:
        """Keep the outcome, or `again` instead of it, or forget the key."""
        cdef int64_t expires_ns
        if f.error != NULL and not self.is_final(f):
            return self.records.remove(record)
        expires_ns = read_clock(self.clock) + self.ttl_ns
        if again is not None:
            self.records.complete(record, ENDED_FINALLY, again, expires_ns)
        elif f.error == NULL:
            self.records.complete(record, SUCCEEDED, <object>f.result, expires_ns)
        else:
            error = self.records.detached(frame_name(f), <object>f.error)
            self.records.complete(record, ENDED_FINALLY, error, expires_ns)
        return 0


cdef object key_of_command(object command):
    key = getattr(command, "idempotency_key", None)
    return key() if callable(key) else key


signed(IdempotencyMiddleware)
constructed(IdempotencyMiddleware)
