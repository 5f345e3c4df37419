"""Build routes: a list of middleware and a handler become one flat program."""

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.pipeline.gate cimport Gate
from cqrs_fast.pipeline.route cimport Route


cdef class Around:
    """An element of `middleware=` that cuts the program in two."""

    cdef object function
    cdef bint factory           # called once for each route: function(next)
    cdef bint is_async
    cdef bint blocking
    cdef bint returns_awaitable


cdef class Handler:
    """A handler as it was registered, and how it is called."""

    cdef readonly str name              # the registered name
    cdef readonly object message_class  # None where it is registered by name
    cdef readonly object message_type   # the same, with its type arguments
    cdef readonly object handler        # as it was given
    cdef readonly tuple middleware      # its own, as given …
    cdef tuple elements                 # … and prepared
    cdef object call
    cdef bint with_context
    cdef readonly bint is_async
    cdef readonly bint offload          # its thread is a worker's, under execute_async


# A middleware as its element: a Stage or an Around. TypeError for anything else.
cdef object prepare(object middleware)

# One new route: the elements of the bus, outermost first, around the handler's own.
cdef Route build_route(
    Handler handler, tuple elements, str kind, Gate gate, Clock clock
)
