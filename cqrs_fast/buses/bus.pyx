"""The buses: they assemble routes and find the one of a message.

Live change
    A Registry is never changed once a bus has published it. A change builds the next
    one beside it, user code (factories) included, and swaps one pointer if nobody else
    did in the meantime; otherwise it starts again. No lock is held, so no user code
    runs under one, and a dispatch sees one registry or the other.
"""

cimport cython
from cpython.exc cimport PyErr_Occurred
from cpython.ref cimport PyObject

from cqrs_fast.assembly.builder cimport Handler, build_route, prepare
from cqrs_fast.assembly.class_table cimport ClassTable, find
from cqrs_fast.base.clock cimport as_clock
from cqrs_fast.base.errstate cimport steal, take_raised
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.buses.metrics cimport Metrics, take_snapshot
from cqrs_fast.context cimport Context
from cqrs_fast.payloads.decoding cimport Payloads, payloads_of
from cqrs_fast.pipeline.async_driver cimport new_dispatch
from cqrs_fast.pipeline.gate cimport Gate
from cqrs_fast.pipeline.outcome cimport ERROR, INVALID, Outcome
from cqrs_fast.pipeline.route cimport Route, Router
from cqrs_fast.pipeline.stage cimport Stage
from cqrs_fast.pipeline.sync_driver cimport run_sync

from cqrs_fast.assembly.builder import prepare_all
from cqrs_fast.errors import (
    HandlerAlreadyRegisteredError,
    HandlerNotFoundError,
    ValidationError,
)
from cqrs_fast.messages import (
    class_meant,
    message_kind,
    message_meant,
    message_name,
    name_of_class,
)
from cqrs_fast.pipeline.gate import close_gate
from cqrs_fast.stats import MiddlewareStats

UNKNOWN = "_unknown"
MOST_PAYLOAD_BYTES = 16 * 1024 * 1024
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
    PyObject *type_of "(PyObject *)Py_TYPE"(object message) noexcept
    int adopt "cqrs_adopt"(type cls, object inherited, str name) except -1


@cython.final
@cython.auto_pickle(False)
cdef class Registry:
    """All that is registered on a bus at one moment."""

    def __init__(self, size_t capacity):
        self.exact = ClassTable(capacity)
        self.resolved = ClassTable()
        self.handlers = {}
        self.routes = {}
        self.named = {}
        self.middleware = self.elements = ()
        self.max_payload_bytes = MOST_PAYLOAD_BYTES

    cdef Registry copy(self):
        """Return one to change: nothing was resolved or decoded with it yet."""
        cdef Registry registry = Registry.__new__(Registry)
        registry.exact = self.exact.copy()
        registry.resolved = ClassTable()
        registry.handlers = self.handlers.copy()
        registry.routes = self.routes.copy()
        registry.named = self.named.copy()
        registry.middleware = self.middleware
        registry.elements = self.elements
        registry.metrics = self.metrics
        registry.max_payload_bytes = self.max_payload_bytes
        registry.wiring = self.wiring
        return registry

    cdef Payloads payloads(self, bint is_json):
        """What payloads become: made at the first one after a change."""
        if is_json:
            if self.json is None:
                self.json = payloads_of(True, self.classes(), self.max_payload_bytes)
            return self.json
        if self.msgpack is None:
            self.msgpack = payloads_of(False, self.classes(), self.max_payload_bytes)
        return self.msgpack

    cdef dict classes(self):
        """The message class of each name, with its type arguments, or None."""
        cdef Handler handler
        classes = {}
        for name, handler in self.handlers.items():
            classes[name] = handler.message_type
        return classes


@cython.auto_pickle(False)
cdef class Bus(Router):
    """What command and query buses share.

    Parameters:
        middleware: outermost first; see the four forms in the README.
        enable_metrics: count and time every dispatch, see `stats()`.
        latency_sample: with metrics, time only one of so many dispatches of each name;
            all are counted. The others read no clock unless a middleware asks for it.
        initial_capacity: how many routes to make room for, at most 1,000,000.
        max_payload_bytes: what `execute_json` and `execute_msgpack` take at most, up to
            2**40.
        clock: where the pipeline reads the time; time.monotonic_ns by default. A
            CoarseClock is cheaper where times may be a few milliseconds off.

    Every method may be called from any thread, from any event loop, and from handlers.
    """

    def __cinit__(self, *args, **kwargs):
        # Whole from the start: a subclass may forget to call __init__.
        self.registry = Registry(0)
        self.gate = Gate(type(self).__name__)
        self.order_warnings = set()
        self.latency_sample = 1

    def __init__(self, *, middleware=(), enable_metrics=False, latency_sample=1,
                 initial_capacity=0, max_payload_bytes=MOST_PAYLOAD_BYTES, clock=None):
        if self.kind is None:
            raise TypeError("make a CommandBus or a QueryBus")
        if self.initialised:
            raise RuntimeError(
                f"{type(self).__name__} is initialised already: make another one"
            )
        positive("latency_sample", latency_sample, 1)
        positive("initial_capacity", initial_capacity, 0, MOST_ROUTES)
        positive("max_payload_bytes", max_payload_bytes, 1, MOST_PAYLOAD_LIMIT)
        cdef Registry registry = Registry(initial_capacity)
        registry.middleware = tuple(middleware)
        registry.elements = prepare_all(registry.middleware)
        registry.max_payload_bytes = max_payload_bytes
        registry.metrics = {} if enable_metrics else None
        self.registry = registry
        self.latency_sample = min(latency_sample, MOST_SAMPLE)
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

    @property
    def max_payload_bytes(self):
        """What `execute_json` and `execute_msgpack` take at most."""
        return self.registry.max_payload_bytes

    # Registration

    def register_handler(self, message, handler, *, middleware=(), replace=False,
                         is_async=None, with_context=None, offload=False):
        """Register `handler` for a message class, or for a name.

        Parameters:
            message: the class, or a registered name as a string. A generic class may
                have its arguments, `GetPage[int]`: validation and payloads go by them.
            handler: a callable `(message)` or `(ctx, message)`, sync or async, or an
                object with such a `handle` method.
            middleware: of this handler alone, inside the bus's own.
            replace: swap the handler of that name, if there is one; calls in flight
                finish on the old one.
            is_async, with_context: override what the handler's signature says.
            offload: run a sync handler in a worker thread under `execute_async`.

        Raises HandlerAlreadyRegisteredError, or TypeError for anything that is no
        message or no handler; nothing is changed then.
        """
        options = {
            "middleware": middleware,
            "is_async": is_async,
            "with_context": with_context,
            "offload": offload,
        }
        self.add_handlers([self.handler_for(message, handler, options)], replace)

    def handler(self, message=None, /, **options):
        """Register the decorated function; its annotation tells the message.

        Use as `@bus.handler`, `@bus.handler(CreateUser)` or with the keywords of
        `register_handler`. Returns the function itself. The names in an annotation are
        also looked up in the functions around, while they run.

        Raises TypeError for what `register_handler` refuses, where the annotation names
        no class, and for a method in the body of its class, known by a first parameter
        that is called `self` or `cls`: that is marked with `handles`.
        """
        named = message is None or isinstance(message, str)
        if not named and message_meant(message) is None:
            self.register_handler(annotated_message(message), message, **options)
            return message
        if isinstance(message, type):
            refuse_class(message)

        def register(function):
            given = annotated_message(function) if message is None else message
            self.register_handler(given, function, **options)
            return function

        return register

    def register(self, composite, *, replace=False):
        """Register every method of `composite` that `@handles` a message of this kind.

        All or none. Returns the names that were registered, sorted. Raises TypeError if
        there is no such method, if two of them handle one message, and where a
        decorator hides a mark; HandlerAlreadyRegisteredError without `replace`.
        """
        from cqrs_fast.assembly.composite import handled_methods

        if isinstance(composite, type):
            raise TypeError(
                f"{composite.__qualname__} is a class, not an instance: pass "
                f"{composite.__name__}(...)"
            )
        cdef Handler handler
        cdef list handlers = [], names = []
        for handled, method in handled_methods(composite, self.kind):
            handler = self.handler_for(handled.message, method, handled.options)
            handlers.append(handler)
            names.append(handler.name)
        self.add_handlers(handlers, replace)
        names.sort()
        return names

    def unregister_handler(self, message):
        """Take the handler of a class or name off; calls in flight finish.

        Raises HandlerNotFoundError if there is none.
        """
        cdef Registry old, new
        cdef Handler handler
        while True:
            old = self.registry
            name = self.registered_name(message)
            handler = old.handlers.get(name)
            if handler is None or not serves(handler, message):
                raise HandlerNotFoundError(name, registered=sorted(old.handlers))
            new = old.copy()
            del new.handlers[name], new.routes[name]
            new.named.pop(name, None)
            if handler.message_class is not None:
                new.exact.drop(handler.message_class)
            if publish(self, old, new):
                return

    cdef Handler handler_for(self, object message, object handler, dict options):
        if isinstance(message, str):
            if not message:
                raise ValueError("the name of a message must not be empty")
            return Handler(message, None, handler, **options)
        meant = required_class(message)
        kind = message_kind(meant)
        if kind is not None and kind != self.kind:
            raise TypeError(
                f"{class_meant(meant).__qualname__} is {article(kind)}: register it on "
                f"{article(kind)} bus, not on a {type(self).__name__}"
            )
        return Handler(message_name(meant), meant, handler, **options)

    cdef int add_handlers(self, list handlers, bint replace) except -1:
        cdef Registry old, new
        cdef Handler handler, holder
        while True:
            old = self.registry
            new = old.copy()
            for handler in handlers:
                holder = new.handlers.get(handler.name)
                if holder is not None:
                    if not replace:
                        raise HandlerAlreadyRegisteredError(handler.name)
                    if holder.message_class is not None:
                        new.exact.drop(holder.message_class)
                    new.named.pop(handler.name, None)
                self.add_route(new, handler)
            if publish(self, old, new):
                return 0

    cdef int add_route(self, Registry registry, Handler handler) except -1:
        elements = registry.elements
        if registry.metrics is not None:
            metrics = registry.metrics.get(handler.name)
            if metrics is None:
                metrics = registry.metrics.setdefault(
                    handler.name, Metrics(self.latency_sample)
                )
            elements = (metrics, *elements)
        cdef Route route = build_route(
            handler, elements, self.kind, self.gate, self.clock
        )
        if has_retry(route):
            from cqrs_fast.assembly.order import check_order

            check_order(describe_route(route).stages, self.order_warnings)
        registry.handlers[handler.name] = handler
        registry.routes[handler.name] = route
        if handler.message_class is None:
            registry.named[handler.name] = route
        else:
            registry.exact.put(handler.message_class, route)
        return 0

    def registered_names(self):
        """Return the registered names, sorted."""
        return sorted(self.registry.handlers)

    # Middleware

    @property
    def middleware(self):
        """The bus's own middleware, outermost first."""
        return self.registry.middleware

    def add_middleware(self, middleware, index=None):
        """Add one, innermost of the bus's own or before the one at `index`.

        Every route is rebuilt and all are swapped at once; calls in flight finish on
        the program they started on. Factories are called again for the new routes.
        """
        prepare(middleware)

        def add(list present):
            present.insert(len(present) if index is None else index, middleware)

        self.change_middleware(add)

    def remove_middleware(self, middleware):
        """Take one off, as atomically. Raises ValueError if it is not there."""
        def remove(list present):
            for index, one in enumerate(present):
                # Two accesses to one bound method are equal, never identical.
                if one is middleware or one == middleware:
                    del present[index]
                    return
            raise ValueError(f"{middleware!r} is not among the middleware of this bus")

        self.change_middleware(remove)

    cdef int change_middleware(self, object change) except -1:
        cdef Registry old, new
        cdef Handler handler
        while True:
            old = self.registry
            new = old.copy()
            middleware = list(old.middleware)
            change(middleware)
            new.middleware = tuple(middleware)
            new.elements = self.prepared(old, new.middleware)
            new.json, new.msgpack = old.json, old.msgpack  # of the same classes
            for handler in old.handlers.values():
                self.add_route(new, handler)
            if publish(self, old, new):
                return 0

    cdef tuple prepared(self, Registry old, tuple middleware):
        """Prepare the new ones; the others keep their element and so their state."""
        known = {id(one): element for one, element in zip(old.middleware, old.elements)}
        elements = []
        for one in middleware:
            elements.append(known[id(one)] if id(one) in known else prepare(one))
        return tuple(elements)

    # Dispatch

    cdef Route route_for(self, object message):
        # hot: a table lookup for every class that was seen before
        cdef PyObject *route = find(self.registry.exact, type_of(message))
        if route == NULL:
            route = find(self.registry.resolved, type_of(message))
            if route == NULL:
                return self.resolve(message)
        return <Route>route

    cdef Route resolve(self, object message):
        """Find a route by name or by base class, and remember it for the class."""
        cdef Registry registry = self.registry
        cdef Route route = None
        cls = type(message)
        own_name = name_of_class(cls)
        name = message_name(message) if own_name is None else own_name
        if message_kind(cls) in (None, self.kind):
            route = registry.named.get(name)
        if route is None:
            route = base_route(registry, cls)
        if route is None:
            raise self.not_found(message, name)
        if own_name is not None:
            registry.resolved.put_weak(cls, route)
        return route

    cdef object not_found(self, object message, str name):
        self.count(UNKNOWN, ERROR)
        hint = None
        kind = message_kind(type(message))
        if isinstance(message, type):
            name = message_name(message)
            hint = f"A class was passed: dispatch an instance, {message.__name__}(...)."
        elif kind is not None and kind != self.kind:
            hint = f"It is {article(kind)}: {article(kind)} bus takes it."
        return HandlerNotFoundError(name, registered=self.registered_names(), hint=hint)

    def execute(self, msg, Context ctx=None):
        """Dispatch `msg` to its handler and return the handler's result.

        Raises HandlerNotFoundError; AsyncHandlerError, before any of it runs, where the
        handler or a middleware is async; BusClosedError once the bus is closed;
        otherwise what the handler or a middleware raises, as it is.
        """
        # hot: without a call for what is registered by its own class
        cdef PyObject *found = find(self.registry.exact, type_of(msg))
        # Held: a change of the bus may let go of it while it runs.
        cdef Route route = self.route_for(msg) if found == NULL else <Route>found
        return steal(run_sync(route, msg, ctx))

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
        cdef Route route
        if return_exceptions:
            for msg in msgs:
                try:
                    route = self.route_for(msg)
                    results.append(steal(run_sync(route, msg, ctx)))
                except Exception as error:
                    results.append(error)
        else:
            for msg in msgs:
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
        positive("concurrency", concurrency, 1, MOST_TASKS)
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

    # Payloads

    def execute_json(self, payload, Context ctx=None):
        """Decode a JSON object by its `$type`, dispatch it, and encode the result.

        Takes bytes or str and returns bytes. The name is in the field that the class
        has as its `tag_field`, `$type` unless it says otherwise, and in the first item
        of an array for a class that is `array_like`.

        Raises ValidationError for what cannot be decoded: it tells all that is wrong,
        32 errors at most, each by its path and without any value. A `__post_init__` has
        run then at most once. HandlerNotFoundError for an unknown name, with at most
        128 characters of it; TypeError for a class that no payload can become.
        """
        return execute_payload(self, True, payload, ctx)

    def execute_msgpack(self, payload, Context ctx=None):
        """The same as `execute_json`, for MessagePack."""
        return execute_payload(self, False, payload, ctx)

    def execute_json_async(self, payload, Context ctx=None):
        """The awaitable twin of `execute_json`."""
        return execute_payload_async(self, True, payload, ctx)

    def execute_msgpack_async(self, payload, Context ctx=None):
        """The awaitable twin of `execute_msgpack`."""
        return execute_payload_async(self, False, payload, ctx)

    cdef object decode(self, Payloads payloads, object payload):
        cdef PyObject *message = payloads.decode_at_once(payload)
        if message != NULL:
            return steal(message)
        error = steal(take_raised()) if PyErr_Occurred() else None
        return self.decode_by_name(payloads, payload, error)

    cdef object decode_by_name(self, Payloads payloads, object payload, object error):
        """Decode in two steps, or find what is wrong; count what is not dispatched."""
        name = UNKNOWN
        try:
            payload = payloads.checked(payload)
            name = payloads.name_of(payload)
            return payloads.decode_as(name, payload, error)
        except ValidationError as invalid:
            if name is not UNKNOWN:
                invalid.name = name
            self.count(name, INVALID)
            raise
        except (HandlerNotFoundError, TypeError):
            self.count(name, ERROR)
            raise

    cdef int count(self, str name, Outcome outcome) except -1:
        """Count what never reached its pipeline."""
        metrics = self.registry.metrics
        if metrics is not None:
            if name not in metrics:
                metrics.setdefault(name, Metrics(self.latency_sample))
            (<Metrics>metrics[name]).count(outcome)
        return 0

    # Looking

    def describe(self):
        """Return a RouteInfo for each registered name, sorted by name."""
        cdef Registry registry = self.registry
        routes = map(registry.routes.get, sorted(registry.routes))
        return list(map(describe_route, routes))

    def explain(self, message):
        """Return the route of a class or name as text that a person reads."""
        from cqrs_fast.assembly.description import explained

        cdef Registry registry = self.registry
        name = self.registered_name(message)
        route = registry.routes.get(name)
        if route is None and not isinstance(message, str):
            route = base_route(registry, class_meant(message))
        if route is None:
            raise HandlerNotFoundError(name, registered=sorted(registry.routes))
        return explained(describe_route(route), self.kind)

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

    cdef str registered_name(self, object message):
        cdef PyObject *route
        if isinstance(message, str):
            return message
        cls = class_meant(required_class(message))
        route = find(self.registry.exact, <PyObject *>cls)
        return message_name(cls) if route == NULL else (<Route>route).name

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


@cython.auto_pickle(False)
cdef class CommandBus(Bus):
    """Dispatch commands, each to its one handler."""

    def __cinit__(self, *args, **kwargs):
        self.kind = "command"

    def registered_commands(self):
        """Return the registered names, sorted."""
        return self.registered_names()


@cython.auto_pickle(False)
cdef class QueryBus(Bus):
    """Dispatch queries, each to its one handler."""

    def __cinit__(self, *args, **kwargs):
        self.kind = "query"

    def registered_queries(self):
        """Return the registered names, sorted."""
        return self.registered_names()


cdef int adopt_methods(type bus_class) except -1:
    for method in (
        "execute", "execute_async", "execute_many", "execute_json", "execute_msgpack"
    ):
        adopt(bus_class, getattr(Bus, method), method)
    return 0


adopt_methods(CommandBus)
adopt_methods(QueryBus)


@cython.final
@cython.auto_pickle(False)
cdef class Bound:
    """What `bus.bind` returns the method of."""

    cdef Bus bus
    cdef object message_class
    cdef Registry registry      # that the route was found in
    cdef Route route

    def execute(self, cmd, Context ctx=None):
        """Dispatch `cmd`, an instance of the bound class, as `bus.execute` does."""
        # hot: one comparison in place of the lookup
        if type_of(cmd) != <PyObject *>self.message_class:
            if not isinstance(cmd, self.message_class):
                raise TypeError(
                    f"bound to {self.message_class.__qualname__}, got "
                    f"{type(cmd).__qualname__}"
                )
            return steal(run_sync(self.bus.route_for(cmd), cmd, ctx))
        if self.registry is not self.bus.registry:
            return self.rebind(cmd, ctx)
        return steal(run_sync(self.route, cmd, ctx))

    cdef object rebind(self, object message, Context ctx):
        """Find the route anew; it stays only where every instance has the same one."""
        cdef Registry registry = self.bus.registry
        cdef Route route = self.bus.route_for(message)
        if find(registry.exact, type_of(message)) or find(
            registry.resolved, type_of(message)
        ):
            # In this order: a thread that comes between finds the bound one stale.
            self.registry = None
            self.route = route
            self.registry = registry
        return steal(run_sync(route, message, ctx))


cdef bint publish(Bus bus, Registry old, Registry new) noexcept:
    if bus.registry is not old:
        return False
    bus.registry = new
    return True


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


cdef bint has_retry(Route outermost):
    """Whether there is something in it that the order of the others matters to."""
    cdef Route route = outermost
    while route is not None:
        for stage in route.stages:
            if type(stage).__name__ == "RetryMiddleware":
                return True
        route = route.inner
    return False


cdef object describe_route(Route outermost):
    from cqrs_fast.assembly.description import RouteInfo, StageInfo
    from cqrs_fast.base.naming import label_of

    cdef Route route = outermost
    cdef Stage stage
    stages = []
    while route is not None:
        for stage in route.stages:
            stages.append(StageInfo(*stage.described()))
        if route.around is not None:
            settings = {"function": label_of(route.around)}
            stages.append(StageInfo(route.around_kind, settings))
        route = route.inner
    handler = label_of(outermost.handler)
    return RouteInfo(outermost.name, handler, outermost.is_async, stages)


cdef bint serves(Handler handler, object message):
    """Whether a handler of this name was registered for the given name or class."""
    if isinstance(message, str) or handler.message_class is None:
        return True
    return handler.message_class is class_meant(message)


cdef Route base_route(Registry registry, object cls):
    """The route of the nearest base class that has one, or None."""
    cdef PyObject *found
    for base in cls.__mro__:
        found = find(registry.exact, <PyObject *>base)
        if found != NULL:
            return <Route>found
    return None


cdef object execute_payload(Bus bus, bint is_json, object payload, Context ctx):
    # hot: one pass over the payload, and no call through Python
    cdef Registry registry = bus.registry
    cdef Payloads payloads = registry.payloads(is_json)
    message = bus.decode(payloads, payload)
    cdef PyObject *found = find(registry.exact, type_of(message))
    cdef Route route = bus.route_for(message) if found == NULL else <Route>found
    return payloads.encode(steal(run_sync(route, message, ctx)), route.name)


async def execute_payload_async(Bus bus not None, bint is_json, payload, Context ctx):
    cdef Payloads payloads = bus.registry.payloads(is_json)
    message = bus.decode(payloads, payload)
    cdef Route route = bus.route_for(message)
    result = await new_dispatch(None, route, message, ctx)
    return payloads.encode(result, route.name)


def annotated_message(function):
    from cqrs_fast.base.inspection import message_of

    return message_of(function)


def refuse_class(cls):
    from cqrs_fast.base.inspection import refuse_handler_class

    refuse_handler_class(cls)


cdef object required_class(object message):
    """What is meant by a class, a generic one, or a name of it in Python."""
    meant = message_meant(message)
    if meant is None:
        raise TypeError(f"expected a message class or a name, got {message!r}")
    return meant


cdef str article(str kind):
    return f"an {kind}" if kind == "event" else f"a {kind}"


cdef int positive(
    str argument, object number, int least, object most=None
) except -1:
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{argument} must be an int, got {number!r}")
    if number < least:
        raise ValueError(f"{argument} must be {least} or more, got {number!r}")
    if most is not None and number > most:
        raise ValueError(f"{argument} must be at most {most}, got {number!r}")
    return 0


constructed(Registry)
internal(Bound)
