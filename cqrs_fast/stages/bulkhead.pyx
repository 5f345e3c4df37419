"""Bulkhead: at most so many dispatches at once, others wait in line or are rejected."""

cimport cython
from libc.stdint cimport INT64_MAX, int64_t

from cqrs_fast.base.clock cimport Clock, as_clock
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.forks cimport fork_count, on_fork
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.rejection cimport Rejection
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.context cimport NO_DEADLINE
from cqrs_fast.pipeline.deadline cimport remaining_ns
from cqrs_fast.pipeline.frame cimport PROCEED, STOP, Frame
from cqrs_fast.pipeline.frame_ops cimport set_error
from cqrs_fast.pipeline.route cimport frame_name
from cqrs_fast.pipeline.stage cimport RouteSpec, Stage
from cqrs_fast.pipeline.waiting cimport blocks_loop, join_line, wait_in_line
from cqrs_fast.policies.core.bulkhead cimport (
    ADMITTED, QUEUED, bulkhead_admit_next, bulkhead_enter, bulkhead_forget,
    bulkhead_init, bulkhead_leave, bulkhead_resize, cqrs_bulkhead,
)
from cqrs_fast.waits.line cimport PermitLine, Ticket, new_permit_line

from cqrs_fast.base.arguments import seconds_or_zero, whole_number
from cqrs_fast.errors import BulkheadFullError
from cqrs_fast.stats import BulkheadStats

MOST_PERMITS = 10**9
MOST_QUEUED = 10**6

cdef enum:
    # The longest wait without a max_wait or a deadline.
    MOST_WAIT_NS = 30_000_000_000

cdef Rejection full = Rejection(BulkheadFullError, "in_flight", "limit")


@cython.final
cdef class BulkheadMiddleware(Stage):
    """Let at most `max_concurrent` dispatches be inside at once.

    A permit is held from the moment a dispatch is let in until it has ended, however it
    ends. One that finds none free is rejected with BulkheadFullError, or waits in line
    where there is room: who ends hands the permit over to the first in line, so nobody
    overtakes. All buses and routes that share this object share its permits.

    Everybody in line keeps to its own bound, whoever stands before it. One whose event
    loop is closed is passed over. A sync dispatch in a thread that runs an event loop
    never waits, for it would block that loop: it is rejected at once.

    Parameters:
        max_concurrent: permits, from 1 to 10**9.
        max_queue: how many may wait, from 0 to 10**6. Once a bus has it, `update`
            cannot turn waiting on: the pipelines are built by then.
        max_wait: in seconds, after which one that waits is rejected; 0 lets it wait
            until its deadline, or for 30 seconds where it has none. Without room in
            line nobody waits, whatever it is.
        clock: a callable that returns nanoseconds and measures `max_wait`; by default
            that of the first bus that has it.

    `update` changes all of these but `clock`. A lower `max_concurrent` lets those
    inside finish, a higher one lets in who waits. Who waits already keeps its place and
    its `max_wait`.

    Raises TypeError or ValueError for an argument that makes no sense. A handler that
    dispatches through the bulkhead that it is in takes a second permit: with waiting,
    such calls can wait for one another until `max_wait`. Safe to use from any thread
    and event loop; it holds for one process.
    """

    cdef cqrs_bulkhead state
    cdef PermitLine line
    cdef QueueingBulkhead queueing      # None: nobody ever waits
    cdef Clock clock
    cdef object max_wait                # as given …
    cdef int64_t max_wait_ns            # … and in nanoseconds
    cdef int64_t max_queue
    cdef int64_t admitted, rejected
    cdef bint built                     # pipelines have it
    cdef object __weakref__

    def __cinit__(self):
        self.has_slot = True

    def __init__(self, max_concurrent, *, max_queue=0, max_wait=0.0, clock=None):
        """Check and keep the parameters: the class describes them."""
        bulkhead_init(&self.state, permits(max_concurrent))
        self.line = new_permit_line(&self.state)
        self.max_queue = whole_number("max_queue", max_queue, 0, MOST_QUEUED)
        self.max_wait_ns = seconds_or_zero("max_wait", max_wait)
        self.max_wait = max_wait
        self.clock = as_clock(clock)
        on_fork(self)
        if max_queue > 0:
            self.queueing = QueueingBulkhead.__new__(QueueingBulkhead, self)

    def _after_fork(self):
        self.line.forget_all()
        bulkhead_forget(&self.state)

    def settings(self):
        """Return the effective settings, under the names of the parameters."""
        return {
            "max_concurrent": self.state.limit,
            "max_queue": self.max_queue,
            "max_wait": self.max_wait,
        }

    cdef object observed(self):
        return BulkheadStats(
            limit=self.state.limit,
            in_flight=self.state.in_flight,
            max_queue=self.max_queue,
            waiting=self.state.waiting,
            admitted=self.admitted,
            rejected=self.rejected,
        )

    cdef Stage for_route(self, RouteSpec spec):
        return self.served(spec, self.queueing)

    cdef Stage served(self, RouteSpec spec, QueueingBulkhead queueing):
        if self.clock is None and not self.built:
            self.clock = spec.clock
        # Waiting dispatches use this clock from now on.
        self.built = True
        return self if queueing is None else queueing

    cdef dict changeable(self):
        return self.settings()

    cdef int succeed(self, Stage old) except -1:
        cdef BulkheadMiddleware pool = <BulkheadMiddleware>old
        if self.queueing is not None:
            self.queueing = pool.queueing
            if pool.queueing is None:
                self.queueing = QueueingBulkhead.__new__(QueueingBulkhead, pool)
        return 0

    cdef Stage serve(self, RouteSpec spec, Stage new):
        return self.served(spec, (<BulkheadMiddleware>new).queueing)

    cdef int check_built(self, Stage new) except -1:
        cdef BulkheadMiddleware size = <BulkheadMiddleware>new
        if self.built:
            if size.queueing is not None and self.queueing is None:
                raise ValueError(
                    f"max_queue must stay 0, got {size.max_queue!r}: pipelines were "
                    "built that cannot wait, so make a BulkheadMiddleware with a "
                    "max_queue"
                )
            # Built pipelines do not change.
            size.queueing = self.queueing
        return 0

    cdef int exchange(self, Stage new) noexcept:
        cdef BulkheadMiddleware size = <BulkheadMiddleware>new
        self.queueing, size.queueing = size.queueing, self.queueing
        self.max_queue = size.max_queue
        self.max_wait_ns = size.max_wait_ns
        self.max_wait, size.max_wait = size.max_wait, self.max_wait
        bulkhead_resize(&self.state, size.state.limit)
        return 0

    cdef int settle(self, Stage old) except -1:
        failure = None
        while bulkhead_admit_next(&self.state):
            try:
                self.line.hand_over()
            except BaseException as error:
                failure = error
        if failure is not None:
            raise failure
        return 0

    cdef int enter(self, Frame *f) except -1:
        # hot
        if bulkhead_enter(&self.state, 0) == <int>ADMITTED:
            f.slot.a = fork_count
            self.admitted += 1
            return PROCEED
        return self.reject(f)

    cdef int leave(self, Frame *f) except -1:
        # hot
        if f.slot.a == fork_count and bulkhead_leave(&self.state):
            self.line.hand_over()
        return PROCEED

    cdef int reject(self, Frame *f) except -1:
        self.rejected += 1
        error = full.fresh(None, "BulkheadMiddleware", frame_name(f))
        full.put(error, 0, self.state.in_flight)
        full.put(error, 1, self.state.limit)
        set_error(f, error)
        return STOP

    cdef int64_t until_ns(self, Frame *f) except? -1:
        """Return when a dispatch that begins to wait now gives up."""
        if self.max_wait_ns > 0:
            return read_clock(self.clock) + self.max_wait_ns
        if remaining_ns(f) != NO_DEADLINE:
            return INT64_MAX
        return read_clock(self.clock) + MOST_WAIT_NS


cdef int64_t permits(object max_concurrent) except -1:
    return whole_number("max_concurrent", max_concurrent, 1, MOST_PERMITS)


@cython.final
cdef class QueueingBulkhead(Stage):
    """A BulkheadMiddleware in whose pipelines a dispatch may wait.

    The slot keeps the ticket of one that had to wait; a ticket that was granted holds a
    permit as much as a dispatch that never had one. A permit counts until a fork.
    """

    cdef BulkheadMiddleware pool

    def __cinit__(self, BulkheadMiddleware pool not None):
        self.has_slot = self.may_wait = True
        self.pool = pool

    def settings(self):
        """Return the effective settings, under the names of the parameters."""
        return self.pool.settings()

    cdef tuple described(self):
        return self.pool.described()

    cdef object observed(self):
        return self.pool.observed()

    cdef int enter(self, Frame *f) except -1:
        # hot, while nobody waits
        cdef BulkheadMiddleware pool = self.pool
        if f.slot.object != NULL:
            return self.look(f, <Ticket>f.slot.object)
        f.slot.a = fork_count
        if bulkhead_enter(&pool.state, 0) == <int>ADMITTED:
            pool.admitted += 1
            return PROCEED
        if pool.state.waiting >= pool.max_queue or blocks_loop(f):
            return pool.reject(f)
        return self.queue_up(f)

    cdef int leave(self, Frame *f) except -1:
        if f.slot.object != NULL:
            self.pool.line.leave(<Ticket>f.slot.object)
        elif f.slot.a == fork_count and bulkhead_leave(&self.pool.state):
            self.pool.line.hand_over()
        return PROCEED

    cdef int queue_up(self, Frame *f) except -1:
        cdef BulkheadMiddleware pool = self.pool
        cdef int64_t until_ns = pool.until_ns(f)
        cdef Ticket ticket = join_line(f)
        cdef int answer
        ticket.until_ns = until_ns
        answer = pool.line.enter(ticket, pool, pool.max_queue)
        if answer != <int>ADMITTED and answer != <int>QUEUED:
            return pool.reject(f)
        return self.look(f, ticket)

    cdef int look(self, Frame *f, Ticket ticket) except -1:
        """Proceed with a granted permit, keep waiting, or give up."""
        cdef BulkheadMiddleware pool = self.pool
        cdef int64_t delay_ns = -1
        if not ticket.granted and ticket.until_ns != INT64_MAX:
            try:
                delay_ns = ticket.until_ns - read_clock(pool.clock)
            except BaseException:
                # Raised by a user's clock; `leave` will not be called.
                pool.line.leave(ticket)
                raise
        # Checked after the clock, because a user's clock can run any code.
        if ticket.granted:
            pool.admitted += 1
            return PROCEED
        if not ticket.queued or (ticket.until_ns != INT64_MAX and delay_ns <= 0):
            pool.line.leave(ticket)
            return pool.reject(f)
        return wait_in_line(f, ticket, pool.clock, delay_ns)


signed(BulkheadMiddleware)
constructed(BulkheadMiddleware)
constructed(QueueingBulkhead)
