"""Build routes: a list of middleware and a handler become one flat program."""

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.pipeline.gate cimport Gate
from cqrs_fast.pipeline.route cimport Route


cdef class Around:
    """A middleware function (ctx, message, next); it splits the program in two."""

    cdef object function
    cdef bint factory           # called once for each route: function(next)
    cdef bint is_async
    cdef bint blocking
    cdef bint returns_awaitable


cdef class Handler:
    """A registered handler, and how to call it."""

    cdef readonly str name              # the registered name
    cdef readonly object message_class  # None if it is registered by name
    cdef readonly object message_type   # the same, with its type arguments
    cdef readonly object handler        # as passed by the user
    cdef readonly tuple middleware      # of this handler alone, as passed …
    cdef tuple elements                 # … and prepared
    cdef object call
    cdef readonly bint with_context
    cdef readonly bint is_async
    cdef readonly bint offload          # its thread is a worker's, under execute_async
    cdef Handler under                  # what an override replaces; see inspector


# Turn a middleware into a Stage or an Around. TypeError for anything else.
cdef object prepare(object middleware)

# A new route: the elements of the bus, outermost first, around those of the handler.
cdef Route build_route(
    Handler handler, tuple elements, str kind, Gate gate, Clock clock
)

# Its RouteInfo.
cdef object describe_route(Route outermost)

# The classes of its stages, outermost first.
cdef list stage_classes(Route outermost)
# Whether one of these classes runs what is inside again.
cdef bint has_retry(list classes) except -1
