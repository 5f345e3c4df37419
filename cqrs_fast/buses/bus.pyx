"""The buses: they dispatch messages to their handlers.

A bus is four classes, each over the one before: Registrar (what is registered),
RouteFinder, PayloadBus and Bus.
"""

from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t

from cqrs_fast.assembly.builder cimport Handler
from cqrs_fast.assembly.class_table cimport Entry, find
from cqrs_fast.assembly.registry cimport Registry
from cqrs_fast.base.calling cimport call_one, is_promise
from cqrs_fast.base.clock cimport as_clock
from cqrs_fast.base.errstate cimport steal
from cqrs_fast.base.forks cimport fork_count
from cqrs_fast.buses.bound cimport Bound
from cqrs_fast.buses.lookup cimport type_of
from cqrs_fast.buses.metrics cimport Metrics, take_snapshot
from cqrs_fast.buses.payload_bus cimport PayloadBus
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.frame_pool cimport new_dispatch
from cqrs_fast.pipeline.refused_results cimport raise_promise
from cqrs_fast.pipeline.route cimport Route
from cqrs_fast.pipeline.stage cimport Stage
from cqrs_fast.pipeline.sync_driver cimport run_program, run_sync
from cqrs_fast.pipeline.walk cimport count_out

from cqrs_fast.assembly.builder import prepare_all
from cqrs_fast.assembly.registry import MOST_PAYLOAD_BYTES
from cqrs_fast.base.arguments import flag, seconds_to_ns, whole_number
from cqrs_fast.base.message_names import class_meant
from cqrs_fast.pipeline.gate import close_gate
from cqrs_fast.stats import MiddlewareStats

MOST_SAMPLE = 10 ** 9
# What a configuration may ask for, too.
MOST_ROUTES = 1_000_000
MOST_PAYLOAD_LIMIT = 2 ** 40
MOST_TASKS = 100_000


cdef extern from *:
    """
    /* Give `type` a descriptor of its own for an inherited method: CPython specializes
       calls only where the descriptor belongs to the object's very class. */
    static int cqrs_adopt(PyTypeObject *type, PyObject *inherited, PyObject *name) {
        PyMethodDef *method = ((PyMethodDescrObject *)inherited)->d_method;
        PyObject *own = PyDescr_NewMethod(type, method);
        int status = own == NULL ? -1 : PyDict_SetItem(type->tp_dict, name, own);
        Py_XDECREF(own);
        PyType_Modified(type);
        return status;
    }
    """
    int adopt "cqrs_adopt"(type cls, object inherited, str name) except -1


cdef class Bus(PayloadBus):
    """What command and query buses share.

    Parameters:
        middleware: outermost first; docs/middleware.md shows the five forms.
        enable_metrics: count and time every dispatch, see `stats()`.
        latency_sample: with metrics, time only one of so many dispatches of each name;
            all are counted. The others read no clock unless a middleware asks for it.
        initial_capacity: how many routes to make room for, at most 1,000,000.
        max_payload_bytes: what `execute_json` and `execute_msgpack` take at most, up to
            2**40.
        clock: where the pipeline reads the time; time.monotonic_ns by default.
        offload: run sync handlers, with the sync arounds and generators over them, in
            worker threads under `execute_async`. `offload=False` of one wins.
        loop_block_threshold: seconds that a sync handler may hold the event loop under
            `execute_async`, or None for any time. One that takes longer is logged,
            once for each name, where a middleware reads the time before and after it.

    Every method may be called from any thread, from any event loop, and from handlers.
    """

    def __init__(self, *, middleware=(), enable_metrics=False, latency_sample=1,
                 initial_capacity=0, max_payload_bytes=MOST_PAYLOAD_BYTES, clock=None,
                 offload=False, loop_block_threshold=0.1):
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
        registry.middleware = tuple(middleware)
        registry.elements = prepare_all(registry.middleware)
        registry.max_payload_bytes = max_payload_bytes
        registry.metrics = {} if enable_metrics else None
        self.registry = registry
        self.latency_sample = latency_sample
        self.clock = as_clock(clock)
        self.initialised = True

    @classmethod
    def from_config(cls, config, **overrides):
        """Return a bus of this class with the middleware of a Config, in default order.

        Parameters:
            config: a Config; `enable_metrics` and the like are those of its
                `command_bus` or `query_bus`.
            overrides: keywords of the constructor, which win over the config, also when
                another one is applied later. `middleware` goes inside of validation and
                outside of rate limiting.

        Raises ConfigError, which names the section, where values do not go together;
        TypeError for what is no Config and for an unknown keyword. With
        `performance.enable_pooling` the process keeps so many frames (see
        `reserve_frames`); the knobs of the garbage collector are performance_tuning's.
        """
        from cqrs_fast.config.reload import bus_of

        return bus_of(cls, config, overrides)

    def execute(self, msg, Context ctx=None):
        """Dispatch `msg` to its handler and return the handler's result.

        Raises HandlerNotFoundError; AsyncHandlerError, before any of it runs, where the
        handler or a middleware is async; BusClosedError once the bus is closed;
        otherwise what the handler or a middleware raises, as it is.
        """
        # hot: without a call for what is registered by its own class
        cdef Entry *entry = find(<PyObject *>self.registry.exact, type_of(msg))
        cdef Route route
        if is_quick(self, entry, ctx):
            return steal(run_entry(self, entry, msg))
        if entry == NULL:
            return steal(run_sync(self.route_for(msg), msg, ctx))
        # Held: a change of the bus may let go of it while it runs.
        route = <Route>entry.route
        return steal(run_program(route, msg, ctx))

    def execute_async(self, msg, Context ctx=None):
        """Return an awaitable that dispatches `msg` when it is awaited.

        Takes async and sync handlers alike; makes no Task. Cancelling the caller
        cancels the handler. Raises, when awaited, what `execute` raises.
        """
        return new_dispatch(self, None, msg, ctx)

    def execute_many(self, msgs, Context ctx=None, *, bint return_exceptions=False):
        """Dispatch an iterable one after another; return the results in its order.

        The first error stops the rest and is raised, unless `return_exceptions`: then
        each Exception takes the place of its result.
        """
        cdef list results = []
        cdef Entry *entry
        cdef Route route
        if return_exceptions:
            for msg in msgs:
                try:
                    route = self.route_for(msg)
                    results.append(steal(run_sync(route, msg, ctx)))
                except Exception as error:
                    results.append(error)
            return results
        for msg in msgs:
            # hot: as `execute`
            entry = find(<PyObject *>self.registry.exact, type_of(msg))
            if is_quick(self, entry, ctx):
                results.append(steal(run_entry(self, entry, msg)))
            else:
                route = self.route_for(msg)
                results.append(steal(run_sync(route, msg, ctx)))
        return results

    def execute_many_async(self, msgs, Context ctx=None, *,
                           return_exceptions=False, concurrency=None):
        """Dispatch an iterable on the event loop; return the results in its order.

        With `concurrency=None` one after another and without a Task, with n in up to n
        Tasks, 100,000 at most. The first error stops the rest and cancels what runs,
        unless `return_exceptions`.
        """
        from cqrs_fast.buses.batch import in_sequence, in_tasks

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
        """Return a BusStats: one consistent picture of what every message came to.

        All counts of messages are zero unless the bus was made with
        `enable_metrics=True`. The times are those of all dispatches, or of the ones
        that `latency_sample` picks: `timed` tells how many.
        """
        cdef Registry registry = self.registry
        metrics = registry.metrics
        if metrics is None:
            metrics = {name: Metrics() for name in registry.handlers}
        return take_snapshot(metrics, middleware_stats(registry))

    # Closing

    def close(self, timeout=30.0):
        """Refuse new dispatches, wait for those in flight, and tell how it went.

        Nested dispatches, made with the context of one in flight, still run; every wait
        of the pipeline is ended. After `timeout` seconds (None: no limit) what still
        runs is left running and reported. May be called again and from any thread; on
        an event loop use `close_async`. A handler that closes its own bus waits for
        itself until the timeout. Returns a DrainReport.
        """
        return self.gate.close(timeout)

    def close_async(self, timeout=30.0):
        """The awaitable twin of `close`."""
        return close_gate(self.gate, timeout)

    @property
    def closed(self):
        """Whether new dispatches are refused."""
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
        return f"<{type(self).__name__} of {len(self.registry.handlers)} handlers>"


cdef class CommandBus(Bus):
    """Dispatch commands, each to its one handler."""

    def __cinit__(self, *args, **kwargs):
        self.kind = "command"

    def registered_commands(self):
        """Return the registered names, sorted."""
        return self.registered_names()


cdef class QueryBus(Bus):
    """Dispatch queries, each to its one handler."""

    def __cinit__(self, *args, **kwargs):
        self.kind = "query"

    def registered_queries(self):
        """Return the registered names, sorted."""
        return self.registered_names()


# Whether there is nothing to do but to call what this entry says; it may be NULL.
cdef inline bint is_quick(Bus bus, Entry *entry, Context ctx) noexcept:
    if entry == NULL or entry.call == NULL:
        return False
    return ctx is None and not bus.gate.draining


cdef inline PyObject *run_entry(Bus bus, Entry *entry, object message) noexcept:
    # hot: of a quick route no more than its entry is looked at
    # A change of the bus may let go of the registry, the entry and its route meanwhile.
    cdef Registry _held = bus.registry
    cdef uint32_t forks = fork_count
    cdef PyObject *result
    entry.in_flight[0] += 1
    result = call_one(entry.call, <PyObject *>message)
    count_out(entry.in_flight, <PyObject *>bus.gate, forks)
    if result != NULL and is_promise(result):
        return raise_promise(<Route>entry.route, message, result)
    return result


cdef int adopt_methods(type bus_class) except -1:
    for method in (
        "execute", "execute_async", "execute_many", "execute_json", "execute_msgpack"
    ):
        adopt(bus_class, getattr(Bus, method), method)
    return 0


adopt_methods(CommandBus)
adopt_methods(QueryBus)


cdef list middleware_stats(Registry registry):
    """What the middleware of a bus and of its handlers tells, each object once."""
    cdef Handler handler
    cdef Stage stage
    found = {id(one): one for one in registry.middleware}
    for handler in registry.handlers.values():
        found.update({id(one): one for one in handler.middleware})
    told = []
    for one in found.values():
        if isinstance(one, Stage):
            stage = one
            stats = stage.observed()
            if stats is not None:
                told.append(MiddlewareStats(type(stage).__name__, stats))
    return told
