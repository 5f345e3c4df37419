"""ObjectPool: objects that are costly to make, lent to one user at a time.

A permit stands for the right to one object: whoever holds it takes the object that came
back last, or makes one where none is idle. So the line of those who wait is that of a
bulkhead, no object is ever on its way to somebody who has gone, and there are never
more objects than permits. The factory and the hooks run outside of every step that
must not be interrupted, with the permit held.
"""

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject

from cqrs_fast.base.awaitables cimport is_awaitable
from cqrs_fast.base.clock cimport as_clock
from cqrs_fast.base.forks cimport fork_count, tell_of_forks
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.context cimport Context
from cqrs_fast.policies.core.bulkhead cimport (
    ADMITTED,
    bulkhead_enter,
    bulkhead_init,
    bulkhead_leave,
)
from cqrs_fast.policies.core.pool_slots cimport (
    pool_add,
    pool_find,
    pool_init,
    pool_is_lent,
    pool_lend,
    pool_remove,
    pool_shelve,
    pool_take_back,
)
from cqrs_fast.pools.lease cimport Lease, LeaseAsync
from cqrs_fast.pools.lender cimport Lender, Wait, clear_objects_only, closed_error
from cqrs_fast.pools.missing cimport IS_DEBUG, forget, remember, warn_of_missing
from cqrs_fast.waits.line cimport Ticket, wake

from types import GenericAlias

from cqrs_fast.base.arguments import flag, seconds_or_zero, whole_number
from cqrs_fast.base.callables import plain_callable
from cqrs_fast.base.callbacks import report
from cqrs_fast.base.promises import promise_error
from cqrs_fast.stats import PoolStats

AWAIT_BEFORE = "await what it makes before the pool is made"
NOT_AWAITED = "a pool does not await it"
MOST_OBJECTS = 10**6


@cython.final
@cython.no_gc_clear
cdef class ObjectPool(Lender):
    """Lend objects that are costly to make, each to one user at a time.

    The one that came back last is lent first, while it is warm. Where all are in use,
    `acquire` is rejected with PoolExhaustedError, or waits: first come, first served,
    threads and the tasks of any event loops in one line. Everybody waits at most for
    its own `max_wait`, whoever stands before it.

    Parameters:
        factory: makes an object, a new one in each call; anything but None.
        size: how many there may be at once, from 1 to 10**6.
        preallocate: make them all now; else each when it is first needed.
        reset: called with an object that is given back, before anybody else gets it. If
            it raises, that is reported to the log and the object is dropped.
        max_wait: seconds that `acquire` may wait; 0 never waits.
        dispose: called with each object that is dropped, such as to close it: after
            `reset` has failed, and once the pool is closed. What it raises is reported.
        clock: a callable that returns nanoseconds and measures `max_wait`;
            time.monotonic_ns by default.

    Raises TypeError or ValueError for an argument that makes no sense, and whatever
    `factory` raises. The three callables must not be async. They may use the pool.

    In the child of a fork the pool begins empty and makes objects of its own: what a
    parent holds, such as connections, is neither used nor destroyed there. Safe to use
    from any thread and event loop. Builds for debugging remember where each object was
    acquired, and warn of those that a pool still misses when it is closed or collected.
    """

    def __cinit__(self):
        self.owner = "ObjectPool"
        self.places = {}

    def __init__(self, factory, size, *, preallocate=True, reset=None, max_wait=0.0,
                 dispose=None, clock=None):
        whole_number("size", size, 1, MOST_OBJECTS)
        flag("preallocate", preallocate)
        self.max_wait_ns = seconds_or_zero("max_wait", max_wait)
        self.clock = as_clock(clock)
        self.reset = hook("reset", reset)
        self.dispose = hook("dispose", dispose)
        plain_callable("factory", factory, AWAIT_BEFORE)
        if not pool_init(&self.slots, size):
            raise MemoryError
        self.factory = factory
        self.cleans = reset is not None
        bulkhead_init(&self.permits, size)
        tell_of_forks(self)
        if preallocate:
            self.fill(size)

    __class_getitem__ = classmethod(GenericAlias)

    def acquire(self, Context ctx=None):
        """Return an object that is the caller's until `release`.

        Waits for at most `max_wait` seconds, blocking this thread; in one that runs an
        event loop it never waits: use `acquire_async` there. `ctx` bounds the wait too:
        raises DeadlineExceededError or ContextCancelledError once it is done,
        PoolExhaustedError where no object came free, RuntimeError if the pool is
        closed, and what the factory raises.
        """
        # hot
        cdef uint32_t slot
        if ctx is None and bulkhead_enter(&self.permits, 0) == <int>ADMITTED:
            slot = pool_lend(&self.slots)
            if slot == 0:
                slot = self.make()
        else:
            slot = self.take(ctx)
        return self.hand_out(slot)

    async def acquire_async(self, Context ctx=None):
        """Do as `acquire` does, and leave the event loop free while it waits.

        A task that is cancelled meanwhile gives up its place in the line.
        """
        cdef uint32_t slot
        cdef Wait wait = self.line_up(ctx, False)
        if wait is not None:
            await wait.rest()
        slot = self.claim()
        return self.hand_out(slot)

    def release(self, obj):
        """Give an object back to the pool, which lends it to the first who waits.

        Raises ValueError, and changes nothing, for what this pool has not lent: another
        object, or one that was released already.
        """
        # hot
        cdef uint32_t slot = pool_find(&self.slots, <void *>obj)
        if slot == 0 or not pool_is_lent(&self.slots, slot):
            self.was_no_loan(obj, slot)
        else:
            self.end_loan(slot)

    def lease(self, Context ctx=None):
        """Return a Lease: `with pool.lease() as obj` acquires and releases."""
        cdef Lease lease = Lease.__new__(Lease)
        lease.lender = self
        lease.ctx = ctx
        return lease

    def lease_async(self, Context ctx=None):
        """Return a LeaseAsync: `async with pool.lease_async() as obj`."""
        cdef LeaseAsync lease = LeaseAsync.__new__(LeaseAsync)
        lease.lender = self
        lease.ctx = ctx
        return lease

    def stats(self):
        """Return a PoolStats of now."""
        return PoolStats(
            size=self.permits.limit,
            in_use=self.permits.in_flight,
            idle=self.slots.idle_count,
            waiting=self.permits.waiting,
            waits=self.waits,
            created=self.created,
            exhausted=self.exhausted,
            reset_failures=self.reset_failures,
            leaked=self.leaked,
        )

    def close(self):
        """Lend nothing more, and drop what is idle; again, do nothing.

        Those who wait get a RuntimeError, as all do who acquire from now on. Objects
        that are in use stay so, and are dropped when they are released. What event
        loops raise, or `dispose` beyond an Exception, is raised once all that is done.
        """
        cdef Ticket first
        cdef uint32_t slot, following
        cdef uint32_t forks = fork_count
        # The last of what event loops, signals and `dispose` raise: whatever it is,
        # all are woken and all that is idle is dropped.
        interruption = None
        self.closed = self.cleans = True
        while self.line.first != NULL:
            first = <Ticket>self.line.first
            self.line.leave(first)
            try:
                wake(first)
            except BaseException as error:
                interruption = error
        # Out of everybody's reach first: what is called next may acquire.
        slot = self.slots.idle
        self.permits.in_flight += self.slots.idle_count
        self.slots.idle = self.slots.idle_count = 0
        while slot != 0 and forks == fork_count:
            following = self.slots.slots[slot].next
            try:
                self.drop(slot)
            except BaseException as error:
                interruption = error
            slot = following
        if interruption is not None:
            raise interruption
        warn_of_missing(self.places, "closed")

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc, traceback):
        self.close()

    def __repr__(self):
        return (
            f"<ObjectPool size={self.permits.limit} in_use={self.permits.in_flight} "
            f"idle={self.slots.idle_count}>"
        )

    def __del__(self):
        warn_of_missing(self.places, "collected")

    def __dealloc__(self):
        self.empty()

    def _after_fork(self):
        """Forget what the parent has; it may be connected to something."""
        cdef uint32_t slot
        cdef PyObject *kept
        self.inherited = self.inherited or []
        for slot in range(1, self.slots.used + 1):
            kept = <PyObject *>self.slots.slots[slot].object
            if kept != NULL:
                # Never destroyed: a destructor could speak to the parent's server.
                self.inherited.append(<object>kept)
        self.forget()
        self.places.clear()
        self.line.forget_all()

    # Acquiring

    cdef uint32_t claim(self) except 0:
        cdef uint32_t slot = pool_lend(&self.slots)
        return slot if slot != 0 else self.make()

    cdef uint32_t make(self) except 0:
        cdef uint32_t forks = fork_count
        cdef uint32_t slot
        try:
            if self.closed:
                raise closed_error()
            made = self.factory()
            if is_awaitable(<PyObject *>made):
                raise promise_error("factory", made, AWAIT_BEFORE)
            if made is None:
                raise TypeError("factory must return an object, got None")
            if pool_find(&self.slots, <void *>made) != 0:
                raise ValueError(
                    "factory must return a new object each time, got one that the pool "
                    f"has already, a {type(made).__name__}"
                )
        except BaseException:
            if forks == fork_count:
                self.give_permit_back()
            raise
        if forks != fork_count:
            # This is the child of a fork in the factory, and the permit was its.
            bulkhead_enter(&self.permits, 0)
        slot = pool_add(&self.slots, <void *>made)
        if slot == 0:
            self.give_permit_back()
            raise self.refusal()
        Py_INCREF(made)
        self.created += 1
        return slot

    cdef int fill(self, uint32_t count) except -1:
        cdef uint32_t slot
        try:
            while self.slots.used < count:
                if bulkhead_enter(&self.permits, 0) != <int>ADMITTED:
                    return 0
                slot = self.make()
                pool_take_back(&self.slots, slot)
                pool_shelve(&self.slots, slot)
                self.give_permit_back()
        except BaseException:
            self.close()
            raise
        return 0

    cdef object hand_out(self, uint32_t slot):
        # hot
        result = lent(self, slot)
        if IS_DEBUG:
            remember(self.places, slot)
        return result

    # Giving back

    cdef int end_loan(self, uint32_t slot) except -1:
        # hot
        pool_take_back(&self.slots, slot)
        if IS_DEBUG:
            forget(self.places, slot)
        if self.cleans:
            return self.clean(slot)
        pool_shelve(&self.slots, slot)
        return self.give_permit_back()

    cdef int give_permit_back(self) except -1:
        # hot
        if bulkhead_leave(&self.permits):
            self.line.hand_over()
        return 0

    cdef int clean(self, uint32_t slot) except -1:
        cdef uint32_t forks = fork_count
        cdef bint is_clean = False
        obj = lent(self, slot)
        try:
            if not self.closed:
                is_clean = was_reset(self, obj)
        finally:
            obj = None
            # In the child of a fork it is one of the parent's now.
            if forks == fork_count and not (is_clean and not self.closed):
                self.drop(slot)
        if forks != fork_count or not is_clean or self.closed:
            return 0
        pool_shelve(&self.slots, slot)
        return self.give_permit_back()

    cdef int drop(self, uint32_t slot) except -1:
        """Dispose of an object that nobody is lent, then give its permit back."""
        cdef uint32_t forks = fork_count
        obj = lent(self, slot)
        try:
            if self.dispose is not None:
                try:
                    self.dispose(obj)
                except Exception as error:
                    report("dispose", repr(self), error)
        finally:
            if forks == fork_count:
                Py_DECREF(<object>pool_remove(&self.slots, slot))
                # Gone for good, as far as it is up to the pool, before a next one.
                obj = None
                self.give_permit_back()
        return 0

    cdef int was_no_loan(self, object given, uint32_t slot) except -1:
        if slot != 0:
            raise ValueError(
                f"this {type(given).__name__} was released already: release an object "
                "once for each acquire"
            )
        for one in self.inherited or ():
            if one is given:
                return 0
        raise ValueError(
            f"this {type(given).__name__} is none of the pool: release what its "
            "acquire returned, to the same pool"
        )

cdef inline object lent(ObjectPool pool, uint32_t slot):
    return <object><PyObject *>pool.slots.slots[slot].object


cdef object hook(str argument, object function):
    if function is not None:
        plain_callable(argument, function, NOT_AWAITED)
    return function


cdef bint was_reset(ObjectPool pool, object obj) except -1:
    """Reset it; whether it may be lent again."""
    try:
        answer = pool.reset(obj) if pool.reset is not None else None
        if is_awaitable(<PyObject *>answer):
            raise promise_error("reset", answer, NOT_AWAITED)
    except Exception as error:
        pool.reset_failures += 1
        report("reset", repr(pool), error)
    else:
        return True
    return False


clear_objects_only(ObjectPool)

constructed(ObjectPool)
