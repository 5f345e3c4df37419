"""Bound: a bus's `execute` with the route of one class found in advance."""

cimport cython
from cpython.ref cimport PyObject

from cqrs_fast.assembly.class_table cimport find
from cqrs_fast.assembly.registry cimport Registry
from cqrs_fast.base.errstate cimport steal
from cqrs_fast.base.sealing cimport internal
from cqrs_fast.buses.lookup cimport type_of
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.route cimport Route
from cqrs_fast.pipeline.sync_driver cimport run_sync


@cython.final
cdef class Bound:
    """What `bus.bind` returns the method of."""

    def execute(self, cmd, Context ctx=None):
        """Dispatch `cmd`, an instance of the bound class, as `bus.execute` does."""
        # hot: one comparison in place of the lookup
        if type_of(cmd) != <PyObject *>self.message_class:
            if not isinstance(cmd, self.message_class):
                raise TypeError(
                    f"bound to {self.message_class.__qualname__}, got "
                    f"{type(cmd).__qualname__}"
                )
            return steal(run_sync(self.bus.route_for(cmd), cmd, ctx))
        if self.registry is not self.bus.registry:
            return self.rebind(cmd, ctx)
        return steal(run_sync(self.route, cmd, ctx))

    cdef object rebind(self, object message, Context ctx):
        """Find the route anew; it stays only where every instance has the same one."""
        cdef Registry registry = self.bus.registry
        cdef Route route = self.bus.route_for(message)
        cdef PyObject *cls = type_of(message)
        if find(<PyObject *>registry.exact, cls) or (
            find(<PyObject *>registry.resolved, cls)
        ):
            # In this order: a thread that comes between finds the bound one stale.
            self.registry = None
            self.route = route
            self.registry = registry
        return steal(run_sync(route, message, ctx))


internal(Bound)
