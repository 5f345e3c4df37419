"""Show the routes of a bus, and replace its handlers for a while.

Overrides of one name form a chain: the handler of each is over the one that it found,
its `under`. The topmost is the registered one. So they may end in any order.
"""

cimport cython

from cqrs_fast.assembly.builder cimport Handler, describe_route
from cqrs_fast.assembly.registry cimport (
    Registrar, Registry, base_route, publish, serves,
)
from cqrs_fast.base.sealing cimport internal
from cqrs_fast.pipeline.route cimport Route

from cqrs_fast.base.message_names import class_meant
from cqrs_fast.errors import HandlerNotFoundError


cdef class Inspector(Registrar):
    """The part of a bus that shows its routes, and replaces handlers for a while."""

    @property
    def unknown_messages(self):
        """The sorted names in `messages` of the config that have no handler here."""
        cdef Registry registry = self.registry
        return registry.wiring.unknown(registry.handlers) if registry.wiring else ()

    def describe(self):
        """Return a RouteInfo for each registered name, sorted by name."""
        cdef Registry registry = self.registry
        routes = map(registry.routes.get, sorted(registry.routes))
        return list(map(describe_route, routes))

    def explain(self, message=None, *, verbose=False):
        """Return the route of a class or name, or all routes, as readable text.

        Parameters:
            message: the class or the name; None: all of the bus, those with equal
                pipelines together.
            verbose: show all settings, not only those that differ from the default.

        Lines have at most 80 columns. Raises HandlerNotFoundError for a message without
        a handler.
        """
        from cqrs_fast.assembly.description import explained

        cdef Registry registry = self.registry
        cdef Route route
        if message is None:
            return explained(
                self.describe(), self.kind, verbose, self.unknown_messages
            )
        name = self.registered_name(message)
        route = registry.routes.get(name)
        if route is None and not isinstance(message, str):
            route = base_route(registry, class_meant(message))
        if route is None:
            raise HandlerNotFoundError(name, registered=sorted(registry.routes))
        return explained([describe_route(route)], self.kind, verbose)

    def override(self, message, handler):
        """Return a context manager within which `handler` replaces the registered one.

        Parameters:
            message: the class or the name that a handler is registered for.
            handler: a stub in any form of `register_handler`.

        For `with` and `async with`. The pipeline and its state stay: caches, buckets
        and circuits go on. Dispatches of every thread and Task see the stub; those in
        flight finish on the handler they began with. Overrides nest, and may end in any
        order. A handler that `register_handler` replaces within stays registered.

        Raises HandlerNotFoundError if nothing is registered for `message`, here or on
        entering; TypeError for what is no handler; RuntimeError if it is entered while
        it is entered.
        """
        cdef Override override = Override.__new__(Override)
        cdef Handler found = registered(self.registry, self.registered_name(message))
        if found is None or not serves(found, message):
            raise not_registered(self, self.registered_name(message))
        override.bus = self
        override.stub = Handler(found.name, found.message_type, handler)
        return override


@cython.final
cdef class Override:
    """A handler that stands in for the registered one while it is entered."""

    def __enter__(self):
        self.enter()

    def __exit__(self, *raised):
        self.leave()

    async def __aenter__(self):
        self.enter()

    async def __aexit__(self, *raised):
        self.leave()

    def __repr__(self):
        state = "entered" if self.entered else "not entered"
        return f"<override of {self.stub.name}, {state}>"

    cdef int enter(self) except -1:
        cdef Registry old, new
        cdef Handler found
        cdef Handler stub = self.stub
        if self.entered:
            raise RuntimeError(
                f"this override of {stub.name} is entered already: call bus.override "
                "once for each `with`"
            )
        self.entered = True
        try:
            while True:
                old = self.bus.registry
                found = registered(old, stub.name)
                if found is None:
                    raise not_registered(self.bus, stub.name)
                stub.message_type = found.message_type
                stub.message_class = found.message_class
                stub.middleware, stub.elements = found.middleware, found.elements
                stub.offload = found.offload and not stub.is_async
                stub.under = found
                new = old.copy()
                self.bus.add_route(new, stub)
                if publish(self.bus, old, new):
                    return 0
        except BaseException:
            self.entered = False
            raise

    cdef int leave(self) except -1:
        cdef Registry old, new
        cdef Handler under, over, one
        cdef Handler stub = self.stub
        self.entered = False
        while True:
            old = self.bus.registry
            over, one = None, registered(old, stub.name)
            while one is not None and one is not stub:
                over, one = one, one.under
            if one is None:
                return 0  # replaced or removed within
            if over is not None:
                over.under = stub.under
                return 0
            under = stub.under
            new = old.copy()
            self.bus.add_route(new, under)
            # What is under it may have ended in the meantime.
            if stub.under is under and publish(self.bus, old, new):
                return 0


# For tools that measure a bus

def registrations(Inspector bus not None):
    """Return the Handler objects of a bus, sorted by name."""
    handlers = bus.registry.handlers
    return list(map(handlers.get, sorted(handlers)))


def has_metrics(Inspector bus not None):
    """Return whether a bus counts and times its dispatches."""
    return bus.registry.metrics is not None


cdef Handler registered(Registry registry, str name):
    return registry.handlers.get(name)


cdef object not_registered(Registrar bus, str name):
    return HandlerNotFoundError(name, registered=bus.registered_names())


internal(Override)
