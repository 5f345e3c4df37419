"""The buses: they dispatch messages to their handlers.

A bus is four classes, each derived from the one before: Registrar (registration),
Inspector (shows routes, overrides handlers), PayloadBus (finds routes, decodes
payloads) and Bus.
"""

from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t

from cqrs_fast.assembly.class_table cimport Entry, find
from cqrs_fast.assembly.registry cimport Registry
from cqrs_fast.base.calling cimport call_one, is_promise
from cqrs_fast.base.clock cimport as_clock
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.errstate cimport steal
from cqrs_fast.base.forks cimport fork_count
from cqrs_fast.base.sealing cimport internal
from cqrs_fast.buses.bound cimport Bound, wrong_context
from cqrs_fast.buses.contents cimport caches_of, middleware_stats
from cqrs_fast.buses.metrics cimport Metrics, take_snapshot
from cqrs_fast.buses.payload_bus cimport PayloadBus, type_of
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.frame_pool cimport new_dispatch
from cqrs_fast.pipeline.refused_results cimport raise_promise
from cqrs_fast.pipeline.route cimport Route
from cqrs_fast.pipeline.sync_driver cimport run_program, run_sync
from cqrs_fast.pipeline.walk cimport count_out

from weakref import ref

from cqrs_fast.assembly.builder import prepare_all
from cqrs_fast.assembly.registry import MOST_PAYLOAD_BYTES
from cqrs_fast.base.arguments import flag, listed, seconds_to_ns, whole_number
from cqrs_fast.base.message_names import class_meant
from cqrs_fast.base.naming import reject_keywords
from cqrs_fast.domain_errors import domain_classes
from cqrs_fast.pipeline.gate import close_gate

MOST_SAMPLE = 10 ** 9
# Limits of a configuration too.
MOST_ROUTES = 1_000_000
MOST_PAYLOAD_LIMIT = 2 ** 40
MOST_TASKS = 100_000


cdef extern from "cqrs_fast/buses/bus.h":
    void leave_with "cqrs_leave_with"(PyObject *result) noexcept
    int append "cqrs_append"(list results, PyObject *item) except -1
    int adopt "cqrs_adopt"(type cls, object inherited, str name) except -1


cdef class Bus(PayloadBus):
    """The common part of command and query buses.

    Parameters:
        middleware: outermost first; docs/middleware.md shows the five forms.
        enable_metrics: count and time every dispatch, see `stats()`.
        latency_sample: with metrics, time only one of so many dispatches of each name;
            all are counted. The others read no clock unless a middleware needs it.
        initial_capacity: number of routes to reserve room for, at most 1,000,000.
        max_payload_bytes: largest payload of `execute_json` and `execute_msgpack`, at
            most 2**40.
        clock: a callable that returns nanoseconds; time.monotonic_ns by default.
        domain_errors: exception class, or tuple of classes, that is treated as
            DomainError is: for classes that cannot inherit from it. They have status
            409 and a code made from the name of the class.
        offload: run sync handlers, with the sync arounds and generators over them, in
            worker threads under `execute_async`. `offload=False` of a handler wins.
        loop_block_threshold: seconds that a handler may hold the event loop under
            `execute_async`, or None for any time. One that takes longer is logged,
            once for each name, if a middleware reads the time before and after it.

    Every method is safe to call from any thread, any event loop, and from handlers.
    """

    def __init__(self, *, middleware=(), enable_metrics=False, latency_sample=1,
                 initial_capacity=0, max_payload_bytes=MOST_PAYLOAD_BYTES, clock=None,
                 domain_errors=(), offload=False, loop_block_threshold=0.1):
        """Check and keep the parameters: the class describes them."""
        if self.kind is None:
            raise TypeError("make a CommandBus or a QueryBus")
        if self.initialised:
            raise RuntimeError(
                f"{type(self).__name__} is initialised already: make another one"
            )
        whole_number("latency_sample", latency_sample, 1, MOST_SAMPLE)
        whole_number("initial_capacity", initial_capacity, 0, MOST_ROUTES)
        whole_number("max_payload_bytes", max_payload_bytes, 1, MOST_PAYLOAD_LIMIT)
        if loop_block_threshold is not None:
            threshold_ns = seconds_to_ns("loop_block_threshold", loop_block_threshold)
            self.gate.loop_block_ns = threshold_ns
        self.offload = flag("offload", offload)
        cdef Registry registry = Registry(initial_capacity)
        registry.middleware = listed(middleware)
        registry.elements = prepare_all(registry.middleware)
        self.check_kinds(registry.middleware)
        registry.max_payload_bytes = max_payload_bytes
        registry.metrics = {} if enable_metrics else None
        self.gate.domain_errors += domain_classes(domain_errors)
        self.registry = registry
        self.latency_sample = latency_sample
        self.clock = as_clock(clock)
        self.initialised = True

    @classmethod
    def from_config(cls, config, **overrides):
        """Return a bus of this class with the middleware of a Config, in default order.

        Parameters:
            config: a Config; its `command_bus` or `query_bus` gives `enable_metrics`
                and the other keywords of the constructor.
            overrides: keywords of the constructor that replace those of the config,
                also if another config is applied later. `middleware` is placed inside
                validation and outside rate limiting.

        Raises ConfigError, which names the section, if values contradict each other;
        TypeError if `config` is no Config, or for an unknown keyword. With
        `performance.enable_pooling` the process keeps that many frames (see
        `reserve_frames`). `performance_tuning` sets the garbage collector.
        """
        from cqrs_fast.config.reload import bus_of

        return bus_of(cls, config, overrides)

    def execute(self, msg, ctx=None):
        """Dispatch `msg` to its handler and return the handler's result.

        Raises HandlerNotFoundError; AsyncHandlerError, before anything runs, if the
        handler or a middleware is async; BusClosedError once the bus is closed; and
        what the handler or a middleware raises, unchanged.
        """
        # hot: a reference held here would leak, see leave_with
        cdef Entry *entry = find(<PyObject *>self.registry.exact, type_of(msg))
        cdef PyObject *result
        if is_quick(self, entry, ctx):
            result = run_entry(self, entry, msg)
        elif ctx is not None and type(ctx) is not Context:
            raise wrong_context(msg, ctx)
        elif entry != NULL:
            result = run_route(entry.route, msg, <Context>ctx)
        else:
            return steal(run_sync(self.route_for(msg), msg, <Context>ctx))
        leave_with(result)
        return steal(result)

    def execute_async(self, msg, ctx=None):
        """Return an awaitable that dispatches `msg` when it is awaited.

        The handler may be async or sync. Makes no Task. Cancelling the caller cancels
        the handler. Raises, when awaited, what `execute` raises.
        """
        if ctx is not None and type(ctx) is not Context:
            raise wrong_context(msg, ctx)
        return steal(new_dispatch(self, None, msg, <Context>ctx))

    def execute_many(self, msgs, Context ctx=None, *, bint return_exceptions=False,
                     **unknown):
        """Dispatch messages one after another; return the results in their order.

        The first error stops the rest and is raised. With `return_exceptions`, each
        Exception is returned in place of the result instead.
        """
        cdef list results = []
        cdef Registry held = None
        cdef Entry *entry
        cdef Route route
        if unknown:
            reject_keywords(self.execute_many, unknown)
        if return_exceptions:
            for msg in msgs:
                try:
                    route = self.route_for(msg)
                    results.append(steal(run_sync(route, msg, ctx)))
                except Exception as error:
                    results.append(error)
            return results
        for msg in msgs:
            # hot: as `execute`; the registry is held over many messages, not for each
            if held is not self.registry:
                held = self.registry
            entry = find(<PyObject *>held.exact, type_of(msg))
            if is_quick(self, entry, ctx):
                append(results, call_entry(self, entry, msg))
            else:
                route = self.route_for(msg)
                append(results, run_sync(route, msg, ctx))
        return results

    def execute_many_async(self, msgs, Context ctx=None, *,
                           return_exceptions=False, concurrency=None, **unknown):
        """Dispatch messages on the event loop; return the results in their order.

        `concurrency=None` dispatches one after another and makes no Task; a number, at
        most 100,000, dispatches in up to that many Tasks. The first error stops the
        rest and cancels the running Tasks, unless `return_exceptions` is set.
        """
        from cqrs_fast.buses.batch import in_sequence, in_tasks

        reject_keywords(self.execute_many_async, unknown)
        if concurrency is None:
            return in_sequence(self, msgs, ctx, bool(return_exceptions))
        whole_number("concurrency", concurrency, 1, MOST_TASKS)
        return in_tasks(self, msgs, ctx, bool(return_exceptions), concurrency)

    def bind(self, message):
        """Return a callable `(message, ctx=None)` that dispatches one class.

        It is `execute` with the route found in advance, and follows later registration.
        Raises HandlerNotFoundError while there is no handler, and TypeError when called
        with a message of another class.
        """
        cls = class_meant(message)
        if cls is None:
            raise TypeError(f"bind takes a message class, got {message!r}")
        cdef Bound bound = Bound.__new__(Bound)
        bound.bus = self
        bound.message_class = cls
        return bound.execute

    def stats(self):
        """Return a BusStats: one consistent snapshot of all counts and times.

        The counts of messages are zero unless the bus was made with
        `enable_metrics=True`. The times are of all dispatches, or of those that
        `latency_sample` picks: `timed` is their number.
        """
        cdef Registry registry = self.registry
        metrics = registry.metrics
        if metrics is None:
            metrics = {name: Metrics() for name in registry.handlers}
        return take_snapshot(metrics, middleware_stats(registry))

    # Closing

    def close(self, timeout=30.0):
        """Reject new dispatches and wait for those in flight; return a DrainReport.

        Nested dispatches, made with the context of one in flight, still run; waits of
        the pipeline end at once. Dispatches that still run after `timeout` seconds
        (None: no limit) are left running and reported. Safe to call again and from any
        thread; on an event loop use `close_async`. A handler that closes its own bus
        waits for itself until the timeout.
        """
        return self.gate.close(timeout)

    def close_async(self, timeout=30.0):
        """Return an awaitable that does as `close` does."""
        return close_gate(self.gate, timeout)

    @property
    def closed(self):
        """Whether new dispatches are rejected."""
        return self.gate.draining

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *raised):
        await self.close_async()

    def __repr__(self):
        count = len(self.registry.handlers)
        state = ", closed" if self.gate.draining else ""
        return f"<{type(self).__name__} of {count} handler{'s'[count == 1:]}{state}>"


cdef class CommandBus(Bus):
    """Dispatch each command to its handler."""

    def __cinit__(self, *args, **kwargs):
        self.kind = "command"

    def registered_commands(self):
        """Return the registered names, sorted."""
        return self.registered_names()


cdef class QueryBus(Bus):
    """Dispatch each query to its handler."""

    cdef object view                # all caches as one; None before it is asked for

    def __cinit__(self, *args, **kwargs):
        self.kind = "query"

    def registered_queries(self):
        """Return the registered names, sorted."""
        return self.registered_names()

    @property
    def cache(self):
        """All caches of this bus as one, a CacheView; the same object each time."""
        if self.view is None:
            from cqrs_fast.stages.caching.invalidation import CacheView

            bus = ref(self)
            self.view = CacheView(lambda: listed_caches(bus()))
        return self.view


# Whether the dispatch is no more than a call of `entry.call`; `entry` may be NULL.
cdef inline bint is_quick(Bus bus, Entry *entry, object ctx) noexcept:
    if entry == NULL or entry.call == NULL:
        return False
    return ctx is None and not bus.gate.draining


cdef inline PyObject *run_entry(Bus bus, Entry *entry, object message) noexcept:
    # hot: must not read the route
    # Held: a change of the bus may drop the registry with the entry and its route.
    cdef Registry _held = bus.registry
    return call_entry(bus, entry, message)


# For callers that hold the registry.
cdef inline PyObject *call_entry(Bus bus, Entry *entry, object message) noexcept:
    # hot: of a quick route no more than its entry is read
    cdef uint32_t forks = fork_count
    cdef PyObject *result
    entry.in_flight[0] += 1
    result = call_one(entry.call, <PyObject *>message)
    count_out(entry.in_flight, <PyObject *>bus.gate, forks)
    if result != NULL and is_promise(result):
        return raise_promise(<Route>entry.route, message, result)
    return result


cdef PyObject *run_route(PyObject *found, object message, Context ctx) noexcept:
    # Held: a change of the bus may let go of it while it runs.
    cdef Route route = <Route>found
    return run_program(route, message, ctx)


cdef int adopt_methods(type bus_class) except -1:
    for method in (
        "execute", "execute_async", "execute_many", "execute_json", "execute_msgpack"
    ):
        adopt(bus_class, getattr(Bus, method), method)
    return 0


adopt_methods(CommandBus)
adopt_methods(QueryBus)


cdef object listed_caches(Bus bus):
    return [] if bus is None else caches_of(bus.registry)


def similar_bus(Bus bus not None, middleware, enable_metrics):
    """Return a bus without handlers, of the kind and with the clock of another one."""
    cls = CommandBus if bus.kind == "command" else QueryBus
    return cls(
        middleware=middleware,
        enable_metrics=enable_metrics,
        latency_sample=bus.latency_sample,
        clock=bus.clock,
    )


signed(CommandBus)
signed(QueryBus)
signed(Bus)
internal(Bound)
