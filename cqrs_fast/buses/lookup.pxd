"""Find the route of a message; count what has none."""

from cpython.ref cimport PyObject

from cqrs_fast.assembly.registry cimport Registrar, Registry
from cqrs_fast.buses.metrics cimport Metrics
from cqrs_fast.pipeline.outcome cimport Outcome
from cqrs_fast.pipeline.route cimport Route

cdef extern from *:
    PyObject *type_of "(PyObject *)Py_TYPE"(object message) noexcept


cdef class RouteFinder(Registrar):
    cdef readonly int latency_sample    # of so many dispatches one is timed

    cdef Metrics metrics_of(self, Registry registry, str name)
    # By name or by base class; remembered for the class.
    cdef Route resolve(self, object message)
    cdef object not_found(self, object message, str name)
    # Count what never reached its pipeline.
    cdef int count(self, str name, Outcome outcome) except -1
