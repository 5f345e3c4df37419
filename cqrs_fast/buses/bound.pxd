"""Bound: a bus's `execute` with the route of one class found in advance."""

from cqrs_fast.assembly.registry cimport Registry
from cqrs_fast.buses.lookup cimport RouteFinder
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.route cimport Route


cdef class Bound:
    """What `bus.bind` returns the method of."""

    cdef RouteFinder bus
    cdef object message_class
    cdef Registry registry      # that the route was found in
    cdef Route route

    # Find the route anew; it stays only where every instance has the same one.
    cdef object rebind(self, object message, Context ctx)
