"""The life of an async dispatch: made or taken from the pool, visited, freed."""

from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.async_driver cimport Dispatch
from cqrs_fast.pipeline.route cimport Route, Router


# The awaitable of one dispatch; exactly one of router and route is given.
cdef Dispatch new_dispatch(Router router, Route route, object message, Context context)
