"""The registry of a bus: what is registered on it, and how that changes.

Live change
    A Registry is never changed once a bus has published it. A change builds the next
    one beside it, user code (factories) included, and swaps one pointer if nobody else
    did in the meantime; otherwise it starts again. No lock is held, so no user code
    runs under one, and a dispatch sees one registry or the other.
"""

cimport cython
from cpython.ref cimport PyObject

from cqrs_fast.assembly.builder cimport Handler, build_route, prepare
from cqrs_fast.assembly.class_table cimport ClassTable, Entry, find
from cqrs_fast.assembly.route_info cimport describe_route, has_retry, order_of
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.payloads.decoding cimport Payloads, payloads_of
from cqrs_fast.pipeline.gate cimport Gate
from cqrs_fast.pipeline.route cimport Route, Router
from cqrs_fast.pipeline.stage cimport Stage

from cqrs_fast.base.message_names import (
    class_meant,
    message_kind,
    message_meant,
    message_name,
)
from cqrs_fast.errors import HandlerAlreadyRegisteredError, HandlerNotFoundError

MOST_PAYLOAD_BYTES = 16 * 1024 * 1024


@cython.final
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
        registry.orders = self.orders
        registry.ordered = self.ordered
        registry.metrics = self.metrics
        registry.max_payload_bytes = self.max_payload_bytes
        registry.wiring = self.wiring
        return registry

    cdef bint is_new_order(self, Route route) except -1:
        if self.ordered is not self.elements:
            self.orders = set()
            self.ordered = self.elements
        order = order_of(route)
        if order in self.orders:
            return False
        self.orders.add(order)
        return True

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


cdef class Registrar(Router):
    """What is registered on a bus; the other half of a bus dispatches through it."""

    def __cinit__(self, *args, **kwargs):
        # Whole from the start: a subclass may forget to call __init__.
        self.registry = Registry(0)
        self.gate = Gate(type(self).__name__)
        self.order_warnings = set()

    cdef Stage observer_of(self, Registry registry, str name):
        return None

    def register_handler(self, message, handler, *, middleware=(), replace=False,
                         is_async=None, with_context=None, offload=None):
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
            offload: run a sync handler, with the sync arounds over it, in a worker
                thread under `execute_async`. None: as the bus was made.

        Raises HandlerAlreadyRegisteredError, or TypeError for anything that is no
        message or no handler; nothing is changed then.
        """
        options = {
            "middleware": middleware,
            "is_async": is_async,
            "with_context": with_context,
            "offload": offload,
        }
        made = self.handler_for(message, handler, options, self.offload)
        self.add_handlers([made], replace)

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

    def register(self, composite, *, replace=False, offload=None):
        """Register every method of `composite` that `@handles` a message of this kind.

        `offload` is that of its sync methods whose mark says nothing. All or none.
        Returns the names that were registered, sorted. Raises TypeError if there is no
        such method, if two of them handle one message, and where a decorator hides a
        mark; HandlerAlreadyRegisteredError without `replace`.
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
            handler = self.handler_for(
                handled.message,
                method,
                handled.options,
                self.offload if offload is None else offload,
            )
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

    cdef Handler handler_for(
        self, object message, object handler, dict options, bint offload
    ):
        if isinstance(message, str):
            if not message:
                raise ValueError("the name of a message must not be empty")
            return Handler(message, None, handler, offloads=offload, **options)
        meant = required_class(message)
        kind = message_kind(meant)
        if kind is not None and kind != self.kind:
            raise TypeError(
                f"{class_meant(meant).__qualname__} is {article(kind)}: register it on "
                f"{article(kind)} bus, not on a {type(self).__name__}"
            )
        return Handler(message_name(meant), meant, handler, offloads=offload, **options)

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
        observer = self.observer_of(registry, handler.name)
        if observer is not None:
            elements = (observer, *elements)
        cdef Route route = build_route(
            handler, elements, self.kind, self.gate, self.clock
        )
        # The same elements in the same order are found fault with once.
        if has_retry(route) and (handler.elements or registry.is_new_order(route)):
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

    # Inspection

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

    cdef str registered_name(self, object message):
        cdef Entry *entry
        if isinstance(message, str):
            return message
        cls = class_meant(required_class(message))
        entry = find(<PyObject *>self.registry.exact, <PyObject *>cls)
        return message_name(cls) if entry == NULL else (<Route>entry.route).name


cdef bint publish(Registrar bus, Registry old, Registry new) noexcept:
    if bus.registry is not old:
        return False
    bus.registry = new
    return True


cdef bint serves(Handler handler, object message):
    """Whether a handler of this name was registered for the given name or class."""
    if isinstance(message, str) or handler.message_class is None:
        return True
    return handler.message_class is class_meant(message)


cdef Route base_route(Registry registry, object cls):
    cdef Entry *found
    for base in cls.__mro__:
        found = find(<PyObject *>registry.exact, <PyObject *>base)
        if found != NULL:
            return <Route>found.route
    return None


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


constructed(Registry)
