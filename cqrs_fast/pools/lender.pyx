"""Lender: what a pool is to those who wait for its objects, and to leases.

A permit stands for the right to one object. Whoever holds one claims an object; whoever
finds none waits in line for it, as in a bulkhead.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.forks cimport fork_count
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.rejection cimport Rejection
from cqrs_fast.base.sealing cimport internal
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.waiting cimport (
    Alarm,
    arm,
    deadline_alarm,
    unwatch_scopes,
    watch_scopes,
)
from cqrs_fast.policies.core.bulkhead cimport (
    ADMITTED,
    QUEUED,
    bulkhead_enter,
    bulkhead_forget,
    bulkhead_init,
)
from cqrs_fast.policies.core.pool_slots cimport (
    PoolSlots,
    pool_empty,
    pool_free,
    pool_init,
)
from cqrs_fast.waits.line cimport Ticket, new_ticket
from cqrs_fast.waits.loops cimport running_loop
from cqrs_fast.waits.permits cimport new_permit_line
from cqrs_fast.waits.waiter cimport Waiter

from cqrs_fast.errors import DeadlineExceededError, PoolExhaustedError

MOST_WAITING = 10**6

cdef Rejection exhausted = Rejection(PoolExhaustedError)

cdef extern from *:
    """
    static traverseproc cqrs_generated_traverse;

    /* The slots' references are plain pointers, which Cython's own functions leave
       out. */
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
    """Permits for objects, who waits for one, and what is lent."""

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
        cdef Wait wait = self.line_up(ctx, True)
        if wait is not None:
            wait.block()
        return self.claim()

    cdef Wait line_up(self, Context ctx, bint blocks):
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
            wait.ticket = new_ticket()
            wait.ticket.until_ns = read_clock(self.clock) + self.max_wait_ns
            answer = self.line.enter(wait.ticket, self, MOST_WAITING)
            if answer == <int>QUEUED:
                self.waits += 1
                return wait
            if answer == <int>ADMITTED:
                # The caller's now, however the ticket ends.
                wait.ticket.granted = False
                return None
        raise self.refusal()

    cdef object refusal(self):
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
        # It may have been released by hand meanwhile, and lent to another.
        if (
            loan.forks == fork_count
            and 0 < slot <= self.slots.used
            and self.slots.slots[slot].round == loan.round
        ):
            self.end_loan(slot)
        return 0

    cdef int forget(self) noexcept:
        """Own nothing any more; nobody holds a permit."""
        cdef uint32_t size = <uint32_t>self.permits.limit
        pool_free(&self.slots)
        bulkhead_forget(&self.permits)
        # Without memory the pool stays empty and refuses everybody.
        if not pool_init(&self.slots, size):
            self.permits.limit = 0
        return 0

    cdef int empty(self) noexcept:
        """Drop all objects, for the last time."""
        cdef PoolSlots slots = self.slots
        cdef uint32_t slot
        cdef PyObject *obj
        # Taken out first: a destructor may ask the pool for something.
        pool_empty(&self.slots)
        self.permits.limit = 0
        for slot in range(1, slots.used + 1):
            obj = <PyObject *>slots.slots[slot].object
            if obj != NULL:
                Py_DECREF(obj)
        pool_free(&slots)
        return 0


@cython.final
cdef class Wait:
    """One who waits for a permit, in a thread or on an event loop."""

    cdef bint is_over(self) except -1:
        cdef Ticket ticket = self.ticket
        if ticket.forks != fork_count:
            raise self.lender.refusal()
        if not ticket.granted:
            if self.lender.closed:
                raise closed_error()
            failure = self.ctx.failure() if self.ctx is not None else None
            if failure is not None:
                if isinstance(failure, DeadlineExceededError):
                    failure.stage = "queue"
                raise failure
            if read_clock(self.lender.clock) >= ticket.until_ns and not ticket.granted:
                raise self.lender.refusal()
        if not ticket.granted:
            return False
        # The caller's from now on.
        ticket.granted = False
        return True

    cdef int64_t begin_rest(self) except -2:
        cdef Waiter waiter = self.ticket.waiter
        cdef Clock clock = self.lender.clock
        cdef Alarm alarms[2]
        cdef int count = 1
        alarms[0].ns = max(self.ticket.until_ns - read_clock(clock), 0)
        alarms[0].clock = NULL if clock is None else <PyObject *>clock
        if self.ctx is not None:
            alarms[1] = deadline_alarm(self.ctx)
            count = 2
        return arm(alarms, count, waiter)

    cdef int end_wait(self) except -1:
        cdef Waiter waiter = self.ticket.waiter
        if self.lender.clock is not None:
            self.lender.clock.forget(waiter)
        if self.ctx is not None and self.ctx.state.clock is not None:
            self.ctx.state.clock.forget(waiter)
        waiter.rearm()
        return 0

    cdef int block(self) except -1:
        cdef Waiter waiter = self.ticket.waiter
        try:
            if self.ctx is not None:
                watch_scopes(self.ctx, waiter)
            while not self.is_over():
                try:
                    waiter.block(self.begin_rest())
                finally:
                    self.end_wait()
        except BaseException:
            self.lender.line.leave(self.ticket)
            raise
        finally:
            if self.ctx is not None:
                unwatch_scopes(self.ctx, waiter)
        return 0

    async def rest(self):
        """Wait in a task; raise why there will be no permit."""
        cdef Waiter waiter = self.ticket.waiter
        try:
            if self.ctx is not None:
                watch_scopes(self.ctx, waiter)
            while not self.is_over():
                try:
                    await waiter.arm(self.begin_rest())
                finally:
                    self.end_wait()
        except BaseException:
            self.lender.line.leave(self.ticket)
            raise
        finally:
            if self.ctx is not None:
                unwatch_scopes(self.ctx, waiter)


cdef object closed_error():
    return RuntimeError("the pool is closed")


cdef int slot_traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    # No reference may be taken in here.
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
