"""Find the route of a message or of a payload; dispatch payloads."""

from cpython.exc cimport PyErr_Occurred
from cpython.ref cimport PyObject

from cqrs_fast.assembly.builder cimport Handler
from cqrs_fast.assembly.class_table cimport Entry, find
from cqrs_fast.assembly.inspector cimport Inspector
from cqrs_fast.assembly.registry cimport Registry, article, base_route
from cqrs_fast.base.errstate cimport steal, take_raised
from cqrs_fast.buses.metrics cimport Metrics
from cqrs_fast.context cimport Context
from cqrs_fast.payloads.decoding cimport Payloads
from cqrs_fast.pipeline.frame_pool cimport new_dispatch
from cqrs_fast.pipeline.outcome cimport ERROR, INVALID, Outcome
from cqrs_fast.pipeline.route cimport Route
from cqrs_fast.pipeline.stage cimport Stage
from cqrs_fast.pipeline.sync_driver cimport run_sync

from cqrs_fast.base.message_names import message_kind, message_name, name_of_class
from cqrs_fast.base.naming import another_class
from cqrs_fast.errors import HandlerNotFoundError, ValidationError

UNKNOWN = "_unknown"


cdef class PayloadBus(Inspector):
    """The part of a bus that finds routes and decodes payloads."""

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
        # hot: must not allocate for a class that was seen before
        cdef Entry *entry = find(<PyObject *>self.registry.exact, type_of(message))
        if entry == NULL:
            entry = find(<PyObject *>self.registry.resolved, type_of(message))
            if entry == NULL:
                return self.resolve(message)
        return <Route>entry.route

    cdef Route resolve(self, object message):
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
        cdef Handler handler
        hint = None
        kind = message_kind(type(message))
        if isinstance(message, type):
            name = message_name(message)
            hint = f"A class was passed: dispatch an instance, {message.__name__}(...)."
        elif kind is not None and kind != self.kind:
            hint = f"It is {article(kind)}: {article(kind)} bus takes it."
        elif name in self.registry.handlers:
            handler = <Handler>self.registry.handlers[name]
            if handler.message_class is not None:
                hint = another_class(handler.message_class, type(message))
        elif type(message).__module__ == "builtins":
            hint = (
                f"A {type(message).__name__} is no message: dispatch an object of a "
                f"subclass of {self.kind.title()}. A payload is for execute_json or "
                "execute_msgpack."
            )
        return HandlerNotFoundError(name, registered=self.registered_names(), hint=hint)

    cdef int count(self, str name, Outcome outcome) except -1:
        if self.registry.metrics is not None:
            self.metrics_of(self.registry, name).count(outcome)
        return 0

    # Payloads

    @property
    def max_payload_bytes(self):
        """The largest payload that `execute_json` and `execute_msgpack` take."""
        return self.registry.max_payload_bytes

    def execute_json(self, payload, Context ctx=None):
        """Decode a JSON object by its `$type`, dispatch it, and encode the result.

        Takes bytes or str and returns bytes. The name is in the `tag_field` of the
        class, `$type` by default, or in the first item of an `array_like` class.

        Raises ValidationError if the payload cannot be decoded: it lists up to 32
        errors, each with its path and without any value; a `__post_init__` has then run
        at most once. HandlerNotFoundError for an unknown name, of which it shows at
        most 128 characters. TypeError for a class that no payload can become.
        """
        return execute_payload(self, True, payload, ctx)

    def execute_msgpack(self, payload, Context ctx=None):
        """Do as `execute_json` does, for MessagePack."""
        return execute_payload(self, False, payload, ctx)

    def execute_json_async(self, payload, Context ctx=None):
        """Return an awaitable that does as `execute_json` does."""
        return execute_payload_async(self, True, payload, ctx)

    def execute_msgpack_async(self, payload, Context ctx=None):
        """Return an awaitable that does as `execute_msgpack` does."""
        return execute_payload_async(self, False, payload, ctx)

    cdef object decode(self, Payloads payloads, object payload):
        cdef PyObject *message = payloads.decode_at_once(payload)
        if message != NULL:
            return steal(message)
        error = steal(take_raised()) if PyErr_Occurred() else None
        return self.decode_by_name(payloads, payload, error)

    cdef object decode_by_name(self, Payloads payloads, object payload, object error):
        """Decode in two steps, or find all errors; count what is not dispatched."""
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


cdef object execute_payload(PayloadBus bus, bint is_json, object payload, Context ctx):
    # hot: must decode in one pass and make no call through Python
    cdef Registry registry = bus.registry
    cdef Payloads payloads = registry.payloads(is_json)
    message = bus.decode(payloads, payload)
    cdef Entry *entry = find(<PyObject *>registry.exact, type_of(message))
    cdef Route route = bus.route_for(message) if entry == NULL else <Route>entry.route
    return payloads.encode(steal(run_sync(route, message, ctx)), route.name)


async def execute_payload_async(
    PayloadBus bus not None, bint is_json, payload, Context ctx
):
    cdef Payloads payloads = bus.registry.payloads(is_json)
    message = bus.decode(payloads, payload)
    cdef Route route = bus.route_for(message)
    result = await steal(new_dispatch(None, route, message, ctx))
    return payloads.encode(result, route.name)
