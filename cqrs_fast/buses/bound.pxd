"""Bound: a bus's `execute` with the route of one class found in advance."""

from cqrs_fast.assembly.registry cimport Registry
from cqrs_fast.buses.payload_bus cimport PayloadBus
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.route cimport Route


cdef class Bound:
    """What `bus.bind` returns the method of."""

    cdef PayloadBus bus
    cdef object message_class
    cdef Registry registry      # that the route was found in
    cdef Route route

    cdef object rebind(self, object message, Context ctx)


# The TypeError for a call with something else in the place of the context.
cdef object wrong_context(object message, object ctx)
