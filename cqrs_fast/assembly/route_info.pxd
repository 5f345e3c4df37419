"""Look into a route."""

from cqrs_fast.pipeline.route cimport Route


# Its RouteInfo.
cdef object describe_route(Route outermost)

# The classes of its stages, from the outermost.
cdef tuple order_of(Route outermost)

# Whether there is something in it that the order of the others matters to.
cdef bint has_retry(Route outermost) except -1
