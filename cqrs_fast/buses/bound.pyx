"""Bound: a bus's `execute` with the route of one class found in advance."""

cimport cython
from cpython.ref cimport PyObject

from cqrs_fast.assembly.class_table cimport find
from cqrs_fast.assembly.registry cimport Registry
from cqrs_fast.base.errstate cimport steal
from cqrs_fast.base.sealing cimport internal
from cqrs_fast.buses.payload_bus cimport type_of
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.route cimport Route
from cqrs_fast.pipeline.sync_driver cimport run_sync


@cython.final
cdef class Bound:
    """A bus's `execute` for one class, with the route found in advance."""

    def execute(self, cmd, ctx=None):
        """Dispatch `cmd`, an instance of the bound class, as `bus.execute` does."""
        # hot: must not look up the route
        if ctx is not None and type(ctx) is not Context:
            raise wrong_context(cmd, ctx)
        if type_of(cmd) != <PyObject *>self.message_class:
            if not isinstance(cmd, self.message_class):
                raise TypeError(
                    f"bound to {self.message_class.__qualname__}, got "
                    f"{type(cmd).__qualname__}"
                )
            return steal(run_sync(self.bus.route_for(cmd), cmd, <Context>ctx))
        if self.registry is not self.bus.registry:
            return self.rebind(cmd, <Context>ctx)
        return steal(run_sync(self.route, cmd, <Context>ctx))

    cdef object rebind(self, object message, Context ctx):
        """Find the route again; keep it only if all instances have the same one."""
        cdef Registry registry = self.bus.registry
        cdef Route route = self.bus.route_for(message)
        cdef PyObject *cls = type_of(message)
        if find(<PyObject *>registry.exact, cls) or (
            find(<PyObject *>registry.resolved, cls)
        ):
            # In this order: another thread in between finds the binding outdated.
            self.registry = None
            self.route = route
            self.registry = registry
        return steal(run_sync(route, message, ctx))


cdef object wrong_context(object message, object ctx):
    given = f"got ({type(message).__name__}, {type(ctx).__name__})"
    if type(message) is Context:
        return TypeError(f"the message comes first, then the Context; {given}")
    return TypeError(f"after the message, ctx must be a Context or None; {given}")


internal(Bound)
