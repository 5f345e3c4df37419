"""Next: the inner route as an around middleware calls it."""

cimport cython

from cqrs_fast.base.errstate cimport steal
from cqrs_fast.base.sealing cimport internal
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.frame_pool cimport new_dispatch
from cqrs_fast.pipeline.sync_driver cimport run_sync


@cython.final
cdef class Next:
    """Hold the inner route; its bound `next` is what the middleware calls.

    A built-in method is what CPython calls fastest: no argument tuple is made.
    """

    def next(self, Context context, message):
        """Run what lies inside: return its result, or the awaitable of it."""
        if self.awaitable:
            return steal(new_dispatch(None, self.route, message, context))
        return steal(run_sync(self.route, message, context))


internal(Next)
