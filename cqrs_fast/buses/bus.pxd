"""The buses: they dispatch messages to their handlers."""

from cqrs_fast.assembly.registry cimport Registry
from cqrs_fast.buses.payload_bus cimport PayloadBus
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.route cimport Route


cdef class Bus(PayloadBus):
    cdef bint initialised       # its constructor has run
    cdef object __weakref__


cdef class Bound:
    cdef Bus bus
    cdef object message_class
    cdef Registry registry      # that the route was found in
    cdef Route route

    cdef object rebind(self, object message, Context ctx)
