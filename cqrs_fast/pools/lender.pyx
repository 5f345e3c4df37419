"""Lender: the part of a pool that waits and leases use.

A permit gives the right to one object. A caller with a permit claims an object; one
without waits in line for a permit, as in a bulkhead.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.forks cimport fork_count
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.rejection cimport Rejection
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.waiting cimport (
    Alarm, arm, deadline_alarm, unwatch_scopes, watch_scopes,
)
from cqrs_fast.policies.core.bulkhead cimport (
    ADMITTED, QUEUED, bulkhead_enter, bulkhead_forget, bulkhead_init,
)
from cqrs_fast.policies.core.pool_slots cimport (
    PoolSlots, pool_empty, pool_free, pool_init,
)
from cqrs_fast.waits.line cimport new_permit_line
from cqrs_fast.waits.loops cimport running_loop
from cqrs_fast.waits.waiter cimport Waiter

import sys
import warnings

from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.errors import DeadlineExceededError, PoolExhaustedError

MOST_WAITING = 10**6

cdef Rejection exhausted = Rejection(PoolExhaustedError)

cdef extern from *:
    """
    static traverseproc cqrs_generated_traverse;

    /* Cython's own functions ignore the references in the slots: plain pointers. */
    static void cqrs_set_traverse(PyTypeObject *type, traverseproc traverse) {
        cqrs_generated_traverse = type->tp_traverse;
        type->tp_traverse = traverse;
    }

    static void cqrs_set_clear(PyTypeObject *type, inquiry clear) {
        type->tp_clear = clear;
        PyType_Modified(type);
    }
    """
    ctypedef int (*visitproc)(PyObject *, void *) noexcept
    void set_traverse "cqrs_set_traverse"(type, void *) noexcept
    void set_clear "cqrs_set_clear"(type, void *) noexcept
    int generated_traverse "cqrs_generated_traverse"(
        PyObject *, visitproc, void *
    ) noexcept
    void Py_DECREF(PyObject *) noexcept


@cython.no_gc_clear
cdef class Lender:
    """Permits for objects, the line of waits for them, and loans."""

    def __cinit__(self):
        pool_empty(&self.slots)
        bulkhead_init(&self.permits, 0)
        self.line = new_permit_line(&self.permits)

    cdef uint32_t claim(self) except 0:
        raise NotImplementedError

    cdef object hand_out(self, uint32_t slot):
        raise NotImplementedError

    cdef int end_loan(self, uint32_t slot) except -1:
        raise NotImplementedError

    cdef uint32_t take(self, Context ctx) except 0:
        cdef Wait wait = self.wait_for_permit(ctx, True)
        if wait is not None:
            wait.block()
        return self.claim()

    cdef Wait wait_for_permit(self, Context ctx, bint blocks):
        cdef Wait wait
        cdef int answer
        if ctx is not None and ctx.state.limited:
            ctx.check()
        if self.closed:
            raise closed_error()
        if bulkhead_enter(&self.permits, 0) == <int>ADMITTED:
            return None
        if self.max_wait_ns > 0 and not (blocks and running_loop() is not None):
            wait = Wait.__new__(Wait)
            wait.lender = self
            wait.ctx = ctx
            wait.waiter = Waiter.__new__(Waiter)
            wait.forks = fork_count
            wait.until_ns = read_clock(self.clock) + self.max_wait_ns
            answer = self.line.enter(wait, self, MOST_WAITING)
            if answer == <int>QUEUED:
                self.waits += 1
                return wait
            if answer == <int>ADMITTED:
                # The caller owns the permit now, not the ticket.
                wait.granted = False
                return None
        raise self.exhausted_error()

    cdef object exhausted_error(self):
        self.exhausted += 1
        return exhausted.fresh(None, self.owner, None)

    cdef Loan loan(self, uint32_t slot) noexcept:
        cdef Loan loan
        loan.slot = slot
        loan.round = self.slots.slots[slot].round
        loan.forks = fork_count
        return loan

    cdef int return_loan(self, Loan *loan) except -1:
        cdef uint32_t slot = loan.slot
        loan.slot = 0
        # It may have been released by `pool.release` and acquired by another caller.
        if (
            loan.forks == fork_count
            and 0 < slot <= self.slots.used
            and self.slots.slots[slot].round == loan.round
        ):
            self.end_loan(slot)
        return 0

    def _after_fork(self):
        """Forget the objects of the parent; they may share its connections."""
        cdef uint32_t slot, size = <uint32_t>self.permits.limit
        cdef PyObject *kept
        self.inherited = self.inherited or []
        for slot in range(1, self.slots.used + 1):
            kept = <PyObject *>self.slots.slots[slot].object
            if kept != NULL:
                # Never destroyed: a destructor could use the parent's connection.
                self.inherited.append(<object>kept)
        self.places = {}
        pool_free(&self.slots)
        bulkhead_forget(&self.permits)
        # Out of memory: the pool stays empty and rejects every acquire.
        if not pool_init(&self.slots, size):
            self.permits.limit = 0
        self.line.forget_all()

    cdef int empty(self) noexcept:
        cdef PoolSlots slots = self.slots
        cdef uint32_t slot
        cdef PyObject *obj
        # Detached first: a destructor may use the pool.
        pool_empty(&self.slots)
        self.permits.limit = 0
        for slot in range(1, slots.used + 1):
            obj = <PyObject *>slots.slots[slot].object
            if obj != NULL:
                Py_DECREF(obj)
        pool_free(&slots)
        return 0


@cython.final
@cython.no_gc_clear
cdef class Wait(Ticket):
    """A wait for a permit, in a thread or on an event loop."""

    cdef bint is_over(self) except -1:
        if self.forks != fork_count:
            raise self.lender.exhausted_error()
        if not self.granted:
            if self.lender.closed:
                raise closed_error()
            failure = self.ctx.failure() if self.ctx is not None else None
            if failure is not None:
                if isinstance(failure, DeadlineExceededError):
                    failure.stage = "queue"
                raise failure
            if read_clock(self.lender.clock) >= self.until_ns and not self.granted:
                raise self.lender.exhausted_error()
        if not self.granted:
            return False
        # The caller owns the permit now, not the ticket.
        self.granted = False
        return True

    cdef int64_t begin_round(self) except -2:
        cdef Clock clock = self.lender.clock
        cdef Alarm alarms[2]
        cdef int count = 1
        alarms[0].ns = max(self.until_ns - read_clock(clock), 0)
        alarms[0].clock = NULL if clock is None else <PyObject *>clock
        if self.ctx is not None:
            alarms[1] = deadline_alarm(self.ctx)
            count = 2
        return arm(alarms, count, self.waiter)

    cdef int end_round(self) except -1:
        if self.lender.clock is not None:
            self.lender.clock.forget(self.waiter)
        if self.ctx is not None and self.ctx.state.clock is not None:
            self.ctx.state.clock.forget(self.waiter)
        self.waiter.rearm()
        return 0

    cdef int end(self) except -1:
        if self.ctx is not None:
            unwatch_scopes(self.ctx, self.waiter)
        return self.lender.line.leave(self)

    cdef int block(self) except -1:
        try:
            if self.ctx is not None:
                watch_scopes(self.ctx, self.waiter)
            while not self.is_over():
                try:
                    self.waiter.block(self.begin_round())
                finally:
                    self.end_round()
        finally:
            self.end()
        return 0

    async def wait(self):
        """Wait in a task; raise if there will be no permit."""
        try:
            if self.ctx is not None:
                watch_scopes(self.ctx, self.waiter)
            while not self.is_over():
                try:
                    await self.waiter.arm(self.begin_round())
                finally:
                    self.end_round()
        finally:
            self.end()


@cython.freelist(64)
@cython.no_gc_clear
cdef class BaseLease:
    """The common part of both leases: at most one loan at a time."""

    def __init__(self):
        raise TypeError("a lease comes from pool.lease() or pool.lease_async()")

    def release(self):
        """Return the object before the block ends; idempotent."""
        self.end()

    cdef int end(self) except -1:
        if self.loan.slot != 0:
            self.lender.return_loan(&self.loan)
        return 0

    def __dealloc__(self):
        if self.loan.slot == 0:
            return
        self.lender.leaked += 1
        try:
            self.lender.return_loan(&self.loan)
        except BaseException as error:
            lender = repr(self.lender)
            report_callback_error("release of a collected lease", lender, error)

    cdef int check_free(self) except -1:
        if self.loan.slot != 0:
            raise RuntimeError("this lease holds an object already: make another one")
        return 0

    cdef object begin(self, uint32_t slot):
        if self.loan.slot != 0:
            # The same lease was entered again while this call waited.
            self.lender.end_loan(slot)
            self.check_free()
        self.loan = self.lender.loan(slot)
        return self.lender.hand_out(slot)


@cython.final
cdef class Lease(BaseLease):
    """An object of a pool for the length of a `with` block."""

    def __enter__(self):
        self.check_free()
        return self.begin(self.lender.take(self.ctx))

    def __exit__(self, exc_type, exc, traceback):
        self.end()


@cython.final
cdef class LeaseAsync(BaseLease):
    """An object of a pool for the length of an `async with` block."""

    async def __aenter__(self):
        cdef Wait wait
        self.check_free()
        wait = self.lender.wait_for_permit(self.ctx, False)
        if wait is not None:
            await wait.wait()
        return self.begin(self.lender.claim())

    def __aexit__(self, exc_type, exc, traceback):
        self.end()
        return nothing


@cython.final
cdef class Nothing:
    """An awaitable that is already done."""

    def __await__(self):
        return iter(())


cdef object nothing = Nothing()


cdef object closed_error():
    return RuntimeError("the pool is closed")


cdef int note_place(dict places, uint32_t slot) noexcept:
    # What is only for a warning fails no acquisition: the object is lent already.
    try:
        frame = sys._getframe()
        places[slot] = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    except Exception:
        pass
    return 0


cdef int forget_place(dict places, uint32_t slot) noexcept:
    try:
        places.pop(slot, None)
    except MemoryError:
        # There is none for the number of the slot. Better no warning than a wrong one.
        places.clear()
    return 0


cdef int warn_of_missing(dict places, str end) except -1:
    if places:
        where = ", ".join(sorted(set(places.values())))
        warnings.warn(
            f"a pool was {end} with {len(places)} of its objects in use, acquired at "
            f"{where}",
            ResourceWarning,
            stacklevel=1,
        )
    return 0


cdef int slot_traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    # Must not touch a reference count: the garbage collector is running.
    cdef int status = generated_traverse(self, visit, arg)
    cdef PoolSlots *slots = &(<Lender>self).slots
    cdef uint32_t slot
    cdef PyObject *obj
    for slot in range(1, slots.used + 1):
        obj = <PyObject *>slots.slots[slot].object
        if status == 0 and obj != NULL:
            status = visit(obj, arg)
    return status


cdef int slot_clear(PyObject *self) noexcept:
    (<Lender>self).empty()
    return 0


cdef int clear_objects_only(type cls) except -1:
    set_clear(cls, <void *>slot_clear)
    return 0


set_traverse(Lender, <void *>slot_traverse)
clear_objects_only(Lender)

internal(Lender)
internal(Wait)
constructed(Lease)
constructed(LeaseAsync)
