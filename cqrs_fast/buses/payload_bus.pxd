"""Dispatch what comes as JSON or MessagePack."""

from cqrs_fast.buses.lookup cimport RouteFinder
from cqrs_fast.payloads.decoding cimport Payloads


cdef class PayloadBus(RouteFinder):
    cdef object decode(self, Payloads payloads, object payload)
    cdef object decode_by_name(self, Payloads payloads, object payload, object error)
