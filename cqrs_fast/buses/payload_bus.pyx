"""Dispatch what comes as JSON or MessagePack."""

from cpython.exc cimport PyErr_Occurred
from cpython.ref cimport PyObject

from cqrs_fast.assembly.class_table cimport Entry, find
from cqrs_fast.assembly.registry cimport Registry
from cqrs_fast.base.errstate cimport steal, take_raised
from cqrs_fast.buses.lookup cimport RouteFinder, type_of
from cqrs_fast.context cimport Context
from cqrs_fast.payloads.decoding cimport Payloads
from cqrs_fast.pipeline.frame_pool cimport new_dispatch
from cqrs_fast.pipeline.outcome cimport ERROR, INVALID
from cqrs_fast.pipeline.route cimport Route
from cqrs_fast.pipeline.sync_driver cimport run_sync

from cqrs_fast.buses.lookup import UNKNOWN
from cqrs_fast.errors import HandlerNotFoundError, ValidationError


cdef class PayloadBus(RouteFinder):
    """A bus as far as it takes payloads."""

    @property
    def max_payload_bytes(self):
        """What `execute_json` and `execute_msgpack` take at most."""
        return self.registry.max_payload_bytes

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


cdef object execute_payload(PayloadBus bus, bint is_json, object payload, Context ctx):
    # hot: one pass over the payload, and no call through Python
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
