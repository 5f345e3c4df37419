"""A sync dispatch of which only the context is needed: it has no frame."""

from cpython.ref cimport PyObject

from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.route cimport Route

# Call the handler or the around of a route without stages: a new reference, or NULL.
cdef PyObject *run_in_context(Route route, object message, Context parent) noexcept
