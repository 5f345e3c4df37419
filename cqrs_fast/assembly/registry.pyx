"""The registry of a bus: handlers, routes and middleware, and how they change.

A Registry is never changed once a bus has published it. A change builds the next one,
which may run user code (factories), and swaps one pointer if no other change came
first; otherwise it starts again. No lock is held, so no user code runs under one, and a
dispatch sees one registry or the other.
"""

cimport cython
from cpython.ref cimport PyObject

from cqrs_fast.assembly.builder cimport (
    Handler, build_route, describe_route, has_retry, prepare, stage_classes,
)
from cqrs_fast.assembly.class_table cimport ClassTable, Entry, find
from cqrs_fast.base.constructors cimport without_unknown
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.payloads.decoding cimport Payloads, payloads_of
from cqrs_fast.pipeline.gate cimport Gate
from cqrs_fast.pipeline.route cimport Route, Router
from cqrs_fast.pipeline.stage cimport Stage

from operator import attrgetter

from cqrs_fast.base.message_names import (
    class_meant, message_kind, message_meant, message_name,
)
from cqrs_fast.base.naming import another_class, reject_keywords
from cqrs_fast.errors import HandlerAlreadyRegisteredError, HandlerNotFoundError
from cqrs_fast.stages.catalog import row_of

MOST_PAYLOAD_BYTES = 16 * 1024 * 1024


@cython.final
cdef class Registry:
    """The registrations of a bus at one moment."""

    def __init__(self, size_t capacity):
        self.exact = ClassTable(capacity)
        self.resolved = ClassTable()
        self.handlers = {}
        self.routes = {}
        self.named = {}
        self.middleware = self.elements = ()
        self.max_payload_bytes = MOST_PAYLOAD_BYTES

    cdef Registry copy(self):
        """Return a copy to change, with empty caches."""
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

    cdef bint is_new_order(self, list classes) except -1:
        if self.ordered is not self.elements:
            self.orders = set()
            self.ordered = self.elements
        order = tuple(classes)
        if order in self.orders:
            return False
        self.orders.add(order)
        return True

    cdef Payloads payloads(self, bint is_json):
        """The decoder of payloads, made for the first one after a change."""
        if is_json:
            if self.json is None:
                self.json = payloads_of(True, self.classes(), self.max_payload_bytes)
            return self.json
        if self.msgpack is None:
            self.msgpack = payloads_of(False, self.classes(), self.max_payload_bytes)
        return self.msgpack

    cdef dict classes(self):
        """The message class of each name, with its type arguments, or None."""
        classes = {}
        for name, handler in self.handlers.items():
            classes[name] = handler.message_type
        return classes


cdef class Registrar(Router):
    """The part of a bus that registers handlers and middleware."""

    def __cinit__(self, *args, **kwargs):
        # Complete from the start: a subclass may forget to call __init__.
        self.registry = Registry(0)
        self.gate = Gate(type(self).__name__)
        self.order_warnings = set()

    cdef Stage observer_of(self, Registry registry, str name):
        return None

    def register_handler(self, message, handler, *, middleware=(), replace=False,
                         is_async=None, with_context=None, offload=None, **unknown):
        """Register `handler` for a message class, or for a name.

        Parameters:
            message: the class, or a name as a string. A generic class may have type
                arguments, `GetPage[int]`, which validation and payloads use.
            handler: a callable `(message)` or `(ctx, message)`, sync or async, or an
                object with such a `handle` method.
            middleware: for this handler alone, inside the middleware of the bus.
            replace: replace the handler of that name, if any; dispatches in flight
                finish on the old one.
            is_async, with_context: override what the handler's signature says.
            offload: run a sync handler, with the sync arounds over it, in a worker
                thread under `execute_async`. None: as the bus was made.

        Raises HandlerAlreadyRegisteredError, or TypeError for an invalid message or
        handler; nothing is changed then.
        """
        reject_keywords(self.register_handler, unknown)
        options = {
            "middleware": middleware, "offload": offload,
            "is_async": is_async, "with_context": with_context,
        }
        made = self.handler_for(message, handler, options, self.offload)
        self.add_handlers([made], replace)

    def handler(self, message=None, /, *, middleware=(), replace=False, is_async=None,
                with_context=None, offload=False, **unknown):
        """Register the decorated function for the message that its annotation names.

        Use as `@bus.handler`, `@bus.handler(CreateUser)` or with the keywords of
        `register_handler`. Returns the function itself. Names in an annotation are also
        looked up in the enclosing functions while they run.

        Raises TypeError as `register_handler` does; if the annotation names no class;
        and for a method in a class body, recognized by a first parameter called `self`
        or `cls`: mark it with `handles` instead.
        """
        from cqrs_fast.base.inspection import message_of, refuse_handler_class

        reject_keywords(self.handler, unknown)
        options = {
            "middleware": middleware, "replace": replace, "is_async": is_async,
            "with_context": with_context, "offload": offload,
        }
        named = message is None or isinstance(message, str)
        if not named and message_meant(message) is None:
            self.register_handler(message_of(message), message, **options)
            return message
        if isinstance(message, type):
            refuse_handler_class(message)

        def register(function):
            given = message_of(function) if message is None else message
            self.register_handler(given, function, **options)
            return function

        return register

    def register(self, composite, *, replace=False, offload=None):
        """Register every method of `composite` that `@handles` a message of this kind.

        `offload` is that of its sync methods whose mark says nothing. Registers all or
        none. Returns the registered names, sorted. Raises TypeError if there is no such
        method, if two handle one message, or if a decorator hides a mark;
        HandlerAlreadyRegisteredError without `replace`.
        """
        from cqrs_fast.assembly.composite import handled_methods

        if isinstance(composite, type):
            raise TypeError(
                f"{composite.__qualname__} is a class, not an instance: pass "
                f"{composite.__name__}(...)"
            )
        cdef list handlers = []
        for handled, method in handled_methods(composite, self.kind):
            handler = self.handler_for(
                handled.message,
                method,
                handled.options,
                self.offload if offload is None else offload,
            )
            handlers.append(handler)
        self.add_handlers(handlers, replace)
        return sorted(map(attrgetter("name"), handlers))

    def unregister_handler(self, message):
        """Remove the handler of a class or name; dispatches in flight finish.

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
                new.exact.drop(<PyObject *>handler.message_class)
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
                        raise taken(holder, handler)
                    if holder.message_class is not None:
                        new.exact.drop(<PyObject *>holder.message_class)
                    new.named.pop(handler.name, None)
                self.add_route(new, handler)
            if publish(self, old, new):
                return 0

    cdef int add_route(self, Registry registry, Handler handler) except -1:
        elements = registry.elements
        if registry.wiring is not None:
            elements = registry.wiring.fitted(handler, registry.middleware, elements)
        is_own = handler.elements or elements is not registry.elements
        observer = self.observer_of(registry, handler.name)
        if observer is not None:
            elements = (observer, *elements)
        cdef Route route = build_route(
            handler, elements, self.kind, self.gate, self.clock
        )
        cdef list classes = stage_classes(route)
        # The same elements in the same order are checked once.
        if has_retry(classes) and (is_own or registry.is_new_order(classes)):
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
        """The middleware of the bus, outermost first."""
        return self.registry.middleware

    def add_middleware(self, middleware, index=None):
        """Add one to the bus, as the innermost or before the one at `index`.

        All routes are rebuilt and swapped at once; dispatches in flight finish on the
        old ones. Factories are called again for the new routes.
        """
        prepare(middleware)
        self.check_kinds((middleware,))

        def add(list present):
            present.insert(len(present) if index is None else index, middleware)

        self.change_middleware(add)

    def remove_middleware(self, middleware):
        """Remove one, as atomically. Raises ValueError if it is not on this bus."""
        def remove(list present):
            for index, one in enumerate(present):
                # Bound methods of one object are equal but not identical.
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

    cdef int check_kinds(self, middleware) except -1:
        """Reject what serves the other kind of bus, before any handler is there."""
        for one in middleware:
            row = row_of(type(one).__name__)
            if self.kind in row.kinds or not row.module:
                continue
            if type(one) is row.load():
                raise TypeError(
                    f"{row.name} serves {article(row.kinds[0])} bus, a "
                    f"{row.kinds[0].title()}Bus, and this is a {type(self).__name__}"
                )
        return 0

    cdef tuple prepared(self, Registry old, tuple middleware):
        """Prepare the new ones; the others keep their element and its state."""
        known = {id(one): element for one, element in zip(old.middleware, old.elements)}
        elements = []
        for one in middleware:
            elements.append(known[id(one)] if id(one) in known else prepare(one))
        return tuple(elements)

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


cdef object taken(Handler holder, Handler new):
    """The error for a second handler of a name."""
    hint = None
    if new.message_class is not None and holder.message_class is not None:
        if new.message_class is not holder.message_class:
            hint = another_class(holder.message_class, new.message_class)
    return HandlerAlreadyRegisteredError(new.name, hint=hint)


cdef bint serves(Handler handler, object message):
    """Whether a handler with the name of `message` was registered for it."""
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


cdef object required_class(object message):
    """The class or generic class that `message` means."""
    meant = message_meant(message)
    if meant is None:
        raise TypeError(f"expected a message class or a name, got {message!r}")
    return meant


cdef str article(str kind):
    return f"an {kind}" if kind == "event" else f"a {kind}"


without_unknown(Registrar)
constructed(Registry)
