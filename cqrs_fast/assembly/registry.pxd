"""The registry of a bus: what is registered on it, and how that changes."""

from cpython.ref cimport PyObject

from cqrs_fast.assembly.builder cimport Handler
from cqrs_fast.assembly.class_table cimport ClassTable
from cqrs_fast.base.clock cimport Clock
from cqrs_fast.payloads.decoding cimport Payloads
from cqrs_fast.pipeline.gate cimport Gate
from cqrs_fast.pipeline.route cimport Route, Router
from cqrs_fast.pipeline.stage cimport Stage


cdef class Registry:
    """All that is registered on a bus at one moment; never changed, only replaced.

    What it remembers grows: what other classes were resolved to, and which orders of
    stages were looked at.
    """

    cdef ClassTable exact       # registered class -> Route
    cdef ClassTable resolved    # other classes that were seen, held weakly
    cdef dict handlers          # registered name -> Handler
    cdef dict routes            # registered name -> Route
    cdef dict named             # the routes registered by name alone
    cdef tuple middleware       # of the bus, as given …
    cdef tuple elements         # … and prepared
    cdef set orders             # the orders of stages that were looked at …
    cdef tuple ordered          # … of these elements
    cdef Payloads json          # what payloads become; None: none came yet
    cdef Payloads msgpack
    cdef dict metrics           # registered name -> Metrics; None: not enabled
    cdef Py_ssize_t max_payload_bytes
    cdef object wiring          # what a config made of it; None: there was none yet

    cdef Registry copy(self)
    # Whether a route's stages, of `elements` alone, lie in an order not seen before.
    cdef bint is_new_order(self, Route route) except -1
    cdef Payloads payloads(self, bint is_json)
    cdef dict classes(self)


cdef class Registrar(Router):
    cdef Registry registry
    cdef readonly str kind      # "command" or "query"
    cdef Gate gate
    cdef Clock clock
    cdef readonly bint offload  # of handlers that say nothing about it
    cdef set order_warnings     # the texts that were warned of

    # What sees every dispatch of a name from outermost, or None.
    cdef Stage observer_of(self, Registry registry, str name)
    cdef Handler handler_for(
        self, object message, object handler, dict options, bint offload
    )
    cdef int add_handlers(self, list handlers, bint replace) except -1
    # Build the route of a handler with the elements and the observer of `registry`.
    cdef int add_route(self, Registry registry, Handler handler) except -1
    cdef int change_middleware(self, object change) except -1
    cdef tuple prepared(self, Registry old, tuple middleware)
    cdef str registered_name(self, object message)


# Swap the registry unless another change came first: one pointer, no user code.
cdef bint publish(Registrar bus, Registry old, Registry new) noexcept

# The route of the nearest base class that has one, or None.
cdef Route base_route(Registry registry, object cls)

# "a command"
cdef str article(str kind)
