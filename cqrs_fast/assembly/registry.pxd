"""The registry of a bus: handlers, routes and middleware, and how they change."""

from cpython.ref cimport PyObject

from cqrs_fast.assembly.builder cimport Handler
from cqrs_fast.assembly.class_table cimport ClassTable
from cqrs_fast.base.clock cimport Clock
from cqrs_fast.payloads.decoding cimport Payloads
from cqrs_fast.pipeline.gate cimport Gate
from cqrs_fast.pipeline.route cimport Route, Router
from cqrs_fast.pipeline.stage cimport Stage


cdef class Registry:
    """The registrations of a bus at one moment; never changed, only replaced.

    Only its caches grow: `resolved`, and the orders of stages that were checked.
    """

    cdef ClassTable exact       # registered class -> Route
    cdef ClassTable resolved    # other classes that were dispatched, held weakly
    cdef dict handlers          # registered name -> Handler
    cdef dict routes            # registered name -> Route
    cdef dict named             # the routes registered by name alone
    cdef tuple middleware       # of the bus, as passed …
    cdef tuple elements         # … and prepared
    cdef set orders             # the orders of stages that were checked …
    cdef tuple ordered          # … of these elements
    cdef Payloads json          # decodes payloads; None before the first
    cdef Payloads msgpack
    cdef dict metrics           # registered name -> Metrics; None: not enabled
    cdef Py_ssize_t max_payload_bytes
    cdef object wiring          # the result of the last config; None before the first

    cdef Registry copy(self)
    # Whether this order of stages, all of `elements`, was not checked before.
    cdef bint is_new_order(self, list classes) except -1
    cdef Payloads payloads(self, bint is_json)
    cdef dict classes(self)


cdef class Registrar(Router):
    cdef Registry registry
    cdef readonly str kind      # "command" or "query"
    cdef Gate gate
    cdef Clock clock
    cdef readonly bint offload  # of handlers that say nothing about it
    cdef set order_warnings     # the texts of the warnings so far

    # The outermost stage of every route of a name, or None.
    cdef Stage observer_of(self, Registry registry, str name)
    cdef Handler handler_for(
        self, object message, object handler, dict options, bint offload
    )
    cdef int add_handlers(self, list handlers, bint replace) except -1
    # Build the route of a handler and add both to `registry`.
    cdef int add_route(self, Registry registry, Handler handler) except -1
    cdef int change_middleware(self, object change) except -1
    cdef int check_kinds(self, middleware) except -1
    cdef tuple prepared(self, Registry old, tuple middleware)
    cdef str registered_name(self, object message)


# Swap the registry unless another change came first: one pointer, no user code.
cdef bint publish(Registrar bus, Registry old, Registry new) noexcept

# Whether a handler with the name of `message` was registered for it.
cdef bint serves(Handler handler, object message)

# The route of the nearest base class that has one, or None.
cdef Route base_route(Registry registry, object cls)

# "a command"
cdef str article(str kind)
