"""The buses: they assemble routes and find the one of a message."""

from cqrs_fast.assembly.builder cimport Handler
from cqrs_fast.assembly.class_table cimport ClassTable
from cqrs_fast.base.clock cimport Clock
from cqrs_fast.payloads.decoding cimport Payloads
from cqrs_fast.pipeline.gate cimport Gate
from cqrs_fast.pipeline.outcome cimport Outcome
from cqrs_fast.pipeline.route cimport Route, Router


cdef class Registry:
    """All that is registered on a bus at one moment; never changed, only replaced.

    `resolved` alone grows: it remembers what other classes were resolved to.
    """

    cdef ClassTable exact       # registered class -> Route
    cdef ClassTable resolved    # other classes that were seen, held weakly
    cdef dict handlers          # registered name -> Handler
    cdef dict routes            # registered name -> Route
    cdef dict named             # the routes registered by name alone
    cdef tuple middleware       # of the bus, as given …
    cdef tuple elements         # … and prepared
    cdef Payloads json          # what payloads become; None: none came yet
    cdef Payloads msgpack
    cdef dict metrics           # registered name -> Metrics; None: not enabled
    cdef Py_ssize_t max_payload_bytes
    cdef object wiring          # what a config made of it; None: there was none yet

    cdef Registry copy(self)
    cdef Payloads payloads(self, bint is_json)
    cdef dict classes(self)


cdef class Bus(Router):
    cdef Registry registry
    cdef readonly str kind      # "command" or "query"
    cdef Gate gate
    cdef Clock clock
    cdef bint initialised       # its constructor has run
    cdef set order_warnings     # the texts that were warned of
    cdef readonly int latency_sample    # of so many dispatches one is timed
    cdef object __weakref__

    cdef Route resolve(self, object message)
    cdef Handler handler_for(self, object message, object handler, dict options)
    cdef int add_handlers(self, list handlers, bint replace) except -1
    # Build the route of a handler with the elements and metrics of `registry`.
    cdef int add_route(self, Registry registry, Handler handler) except -1
    cdef int change_middleware(self, object change) except -1
    cdef tuple prepared(self, Registry old, tuple middleware)
    cdef object not_found(self, object message, str name)
    cdef str registered_name(self, object message)
    cdef object decode(self, Payloads payloads, object payload)
    cdef object decode_by_name(self, Payloads payloads, object payload, object error)
    cdef int count(self, str name, Outcome outcome) except -1


# Swap the registry unless another change came first: one pointer, no user code.
cdef bint publish(Bus bus, Registry old, Registry new) noexcept
