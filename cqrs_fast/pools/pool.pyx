"""ObjectPool: objects that are costly to make, used by one caller at a time.

A permit gives the right to one object: its holder takes the object that came back last,
or makes one if none is idle. So callers wait in the line of a bulkhead, no object is in
transit to a caller that has gone, and there are never more objects than permits. The
factory and the hooks run outside of every atomic step, with the permit held.
"""

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject

from cqrs_fast.base.calling cimport is_awaitable
from cqrs_fast.base.clock cimport as_clock
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.forks cimport fork_count, on_fork
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.context cimport Context
from cqrs_fast.policies.core.bulkhead cimport (
    ADMITTED, bulkhead_enter, bulkhead_init, bulkhead_leave,
)
from cqrs_fast.policies.core.pool_slots cimport (
    pool_add, pool_find, pool_init, pool_is_lent, pool_lend, pool_remove, pool_shelve,
    pool_take_back,
)
from cqrs_fast.pools.lender cimport (
    Lease, LeaseAsync, Lender, Wait, clear_objects_only, closed_error,
    forget_place, note_place, warn_of_missing,
)
from cqrs_fast.waits.line cimport Ticket, wake

from types import GenericAlias

from cqrs_fast.base.arguments import flag, seconds_or_zero, whole_number
from cqrs_fast.base.callables import plain_callable
from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.base.promises import promise_error
from cqrs_fast.stats import PoolStats

AWAIT_BEFORE = "await what it makes before the pool is made"
NOT_AWAITED = "a pool does not await it"
MOST_OBJECTS = 10**6

cdef extern from *:
    """
    /* A constant: other builds leave the code for debugging out. */
    #define CQRS_IS_DEBUG (CQRS_FAST_BUILD_MODE[0] == 'd')
    """
    bint IS_DEBUG "CQRS_IS_DEBUG"


@cython.final
@cython.no_gc_clear
cdef class ObjectPool(Lender):
    """Share objects that are costly to make, each used by one caller at a time.

    The object that came back last is acquired first, while it is warm. If all are in
    use, `acquire` raises PoolExhaustedError, or waits for at most `max_wait`: first
    come, first served, threads and the tasks of any event loops in one line.

    Parameters:
        factory: makes a new object in each call; must not return None.
        size: the most objects at once, from 1 to 10**6.
        preallocate: make them all now; otherwise each when it is first needed.
        reset: called with each released object before it is acquired again. If it
            raises, the error is logged and the object is dropped.
        max_wait: seconds that `acquire` may wait; 0 never waits.
        dispose: called with each object that is dropped, for example to close it: after
            `reset` failed, and once the pool is closed. Its errors are logged.
        clock: a callable that returns nanoseconds and measures `max_wait`;
            time.monotonic_ns by default.

    Raises TypeError or ValueError for an invalid argument, and whatever `factory`
    raises. The three callables must not be async. They may use the pool.

    In the child of a fork the pool starts empty and makes new objects: objects of the
    parent, such as connections, are neither used nor destroyed there. Safe to use from
    any thread and event loop. Debug builds remember where each object was acquired, and
    warn about those that are still in use when the pool is closed or collected.
    """

    def __cinit__(self):
        self.owner = "ObjectPool"
        self.places = {}

    def __init__(self, factory, size, *, preallocate=True, reset=None, max_wait=0.0,
                 dispose=None, clock=None):
        """Check and keep the parameters: the class describes them."""
        whole_number("size", size, 1, MOST_OBJECTS)
        flag("preallocate", preallocate)
        self.max_wait_ns = seconds_or_zero("max_wait", max_wait)
        self.clock = as_clock(clock)
        for argument, hook in (("reset", reset), ("dispose", dispose)):
            if hook is not None:
                plain_callable(argument, hook, NOT_AWAITED)
        plain_callable("factory", factory, AWAIT_BEFORE)
        if not pool_init(&self.slots, size):
            raise MemoryError
        self.factory, self.reset, self.dispose = factory, reset, dispose
        self.cleans = reset is not None
        bulkhead_init(&self.permits, size)
        on_fork(self)
        if preallocate:
            self.fill(size)

    __class_getitem__ = classmethod(GenericAlias)

    def acquire(self, Context ctx=None):
        """Return an object for the caller's use until `release`.

        Waits for at most `max_wait` seconds, blocking this thread. A thread that runs
        an event loop never waits: use `acquire_async` there. `ctx` limits the wait too.
        Raises DeadlineExceededError or ContextCancelledError once `ctx` is done,
        PoolExhaustedError if no object became free, RuntimeError if the pool is closed,
        and what the factory raises.
        """
        # hot: must not allocate or look up a Python attribute
        cdef uint32_t slot
        if ctx is None and bulkhead_enter(&self.permits, 0) == <int>ADMITTED:
            slot = pool_lend(&self.slots)
            if slot == 0:
                slot = self.make()
        else:
            slot = self.take(ctx)
        return self.hand_out(slot)

    async def acquire_async(self, Context ctx=None):
        """Do as `acquire` does, without blocking the event loop while it waits.

        A task that is cancelled while it waits leaves the line.
        """
        cdef Wait wait = self.wait_for_permit(ctx, False)
        if wait is not None:
            await wait.wait()
        return self.hand_out(self.claim())

    def release(self, obj):
        """Return an object to the pool; the first caller in line gets it.

        Raises ValueError, and changes nothing, if the object is not from this pool or
        was released already.
        """
        # hot: must not allocate or look up a Python attribute
        cdef uint32_t slot = pool_find(&self.slots, <void *>obj)
        if slot == 0 or not pool_is_lent(&self.slots, slot):
            self.not_lent_error(obj, slot)
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
        """Reject all further acquires and drop the idle objects; idempotent.

        Waiting callers get a RuntimeError. Objects in use are dropped when they are
        released. Errors of event loops, and those of `dispose` that are no Exception,
        are raised at the end.
        """
        cdef Ticket first
        cdef uint32_t slot, following
        cdef uint32_t forks = fork_count
        # The last error of event loops, signals and `dispose`. None of them stops this:
        # all callers are woken and all idle objects are dropped.
        interruption = None
        self.closed = self.cleans = True
        while self.line.first != NULL:
            first = <Ticket>self.line.first
            self.line.leave(first)
            try:
                wake(first)
            except BaseException as error:
                interruption = error
        # Detached first: the code called below may use the pool.
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
            # The factory forked: in this child the permit is no longer counted.
            bulkhead_enter(&self.permits, 0)
        slot = pool_add(&self.slots, <void *>made)
        if slot == 0:
            self.give_permit_back()
            raise self.exhausted_error()
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
        # hot: must not allocate
        result = lent(self, slot)
        if IS_DEBUG:
            note_place(self.places, slot)
        return result

    # Releasing

    cdef int end_loan(self, uint32_t slot) except -1:
        # hot: must not allocate
        pool_take_back(&self.slots, slot)
        if IS_DEBUG:
            forget_place(self.places, slot)
        if self.cleans:
            return self.clean(slot)
        pool_shelve(&self.slots, slot)
        return self.give_permit_back()

    cdef int give_permit_back(self) except -1:
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
            # In the child of a fork it is now an object of the parent.
            if forks == fork_count and not (is_clean and not self.closed):
                self.drop(slot)
        if forks != fork_count or not is_clean or self.closed:
            return 0
        pool_shelve(&self.slots, slot)
        return self.give_permit_back()

    cdef int drop(self, uint32_t slot) except -1:
        """Dispose of an idle object, then give its permit back."""
        cdef uint32_t forks = fork_count
        obj = lent(self, slot)
        try:
            if self.dispose is not None:
                try:
                    self.dispose(obj)
                except Exception as error:
                    report_callback_error("dispose", repr(self), error)
        finally:
            if forks == fork_count:
                Py_DECREF(<object>pool_remove(&self.slots, slot))
                # Released before the next object is made.
                obj = None
                self.give_permit_back()
        return 0

    cdef int not_lent_error(self, object given, uint32_t slot) except -1:
        if slot != 0:
            raise ValueError(
                f"this {type(given).__name__} was released already: release an object "
                "once for each acquire"
            )
        for one in self.inherited or ():
            if one is given:
                return 0
        raise ValueError(
            f"this {type(given).__name__} is not from this pool: release what its "
            "acquire returned, to the same pool"
        )


cdef inline object lent(ObjectPool pool, uint32_t slot):
    return <object><PyObject *>pool.slots.slots[slot].object


cdef bint was_reset(ObjectPool pool, object obj) except -1:
    """Reset an object; whether it may be used again."""
    try:
        answer = pool.reset(obj) if pool.reset is not None else None
        if is_awaitable(<PyObject *>answer):
            raise promise_error("reset", answer, NOT_AWAITED)
    except Exception as error:
        pool.reset_failures += 1
        report_callback_error("reset", repr(pool), error)
    else:
        return True
    return False


clear_objects_only(ObjectPool)

signed(ObjectPool)
constructed(ObjectPool)
