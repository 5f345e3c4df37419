"""Find the route of a message or of a payload; count what has no route."""

from cpython.ref cimport PyObject

from cqrs_fast.assembly.inspector cimport Inspector
from cqrs_fast.assembly.registry cimport Registry
from cqrs_fast.buses.metrics cimport Metrics
from cqrs_fast.payloads.decoding cimport Payloads
from cqrs_fast.pipeline.outcome cimport Outcome
from cqrs_fast.pipeline.route cimport Route

cdef extern from *:
    PyObject *type_of "(PyObject *)Py_TYPE"(object message) noexcept


cdef class PayloadBus(Inspector):
    cdef readonly int latency_sample    # one of so many dispatches is timed

    cdef Metrics metrics_of(self, Registry registry, str name)
    # Find a route by name or by base class; remember it for the class.
    cdef Route resolve(self, object message)
    cdef object not_found(self, object message, str name)
    # Count a message that never reached its pipeline.
    cdef int count(self, str name, Outcome outcome) except -1
    cdef object decode(self, Payloads payloads, object payload)
    cdef object decode_by_name(self, Payloads payloads, object payload, object error)
