"""The life of an async dispatch: made or taken from the pool, visited, freed."""

from cpython.ref cimport PyObject

from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.route cimport Route, Router


# The awaitable of one dispatch, a new reference; one of router and route is None.
cdef PyObject *new_dispatch(
    Router router, Route route, object message, Context context
) except NULL
