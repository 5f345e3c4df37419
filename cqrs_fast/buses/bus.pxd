"""The buses: they dispatch messages to their handlers."""

from cqrs_fast.buses.payload_bus cimport PayloadBus


cdef class Bus(PayloadBus):
    cdef bint initialised       # its constructor has run
    cdef object __weakref__
