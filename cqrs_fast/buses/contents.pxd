"""Contents: what of the middleware of a bus can be found through its registry."""

from cqrs_fast.assembly.registry cimport Registry


# The MiddlewareStats of each object once, of those that have any.
cdef list middleware_stats(Registry registry)
# Each CachingMiddleware that is listed, or in a pipeline.
cdef list caches_of(Registry registry)
