"""Find the route of a message; count what has none."""

from cpython.ref cimport PyObject

from cqrs_fast.assembly.class_table cimport Entry, find
from cqrs_fast.assembly.registry cimport Registrar, Registry, article, base_route
from cqrs_fast.buses.metrics cimport Metrics
from cqrs_fast.pipeline.outcome cimport ERROR, Outcome
from cqrs_fast.pipeline.route cimport Route
from cqrs_fast.pipeline.stage cimport Stage

from cqrs_fast.base.message_names import message_kind, message_name, name_of_class
from cqrs_fast.errors import HandlerNotFoundError

UNKNOWN = "_unknown"


cdef class RouteFinder(Registrar):
    """A bus as far as it finds the route of a message."""

    def __cinit__(self, *args, **kwargs):
        self.latency_sample = 1

    cdef Stage observer_of(self, Registry registry, str name):
        return None if registry.metrics is None else self.metrics_of(registry, name)

    cdef Metrics metrics_of(self, Registry registry, str name):
        metrics = registry.metrics.get(name)
        if metrics is None:
            metrics = registry.metrics.setdefault(name, Metrics(self.latency_sample))
        return metrics

    cdef Route route_for(self, object message):
        # hot: a table lookup for every class that was seen before
        cdef Entry *entry = find(<PyObject *>self.registry.exact, type_of(message))
        if entry == NULL:
            entry = find(<PyObject *>self.registry.resolved, type_of(message))
            if entry == NULL:
                return self.resolve(message)
        return <Route>entry.route

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

    cdef int count(self, str name, Outcome outcome) except -1:
        if self.registry.metrics is not None:
            self.metrics_of(self.registry, name).count(outcome)
        return 0
