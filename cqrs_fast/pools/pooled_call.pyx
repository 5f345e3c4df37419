"""PooledCall: the function that a route calls for a PooledHandler of sync objects."""

cimport cython
from cpython.ref cimport PyObject

from cqrs_fast.base.calling cimport is_awaitable
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.context cimport Context
from cqrs_fast.pools.lender cimport Loan
from cqrs_fast.pools.pool cimport ObjectPool

from cqrs_fast.base.message_names import message_name
from cqrs_fast.base.promises import promise_error
from cqrs_fast.errors import PoolExhaustedError


@cython.final
cdef class PooledCall:
    """Call a handler object of a pool, a different one for each call in flight.

    Parameters:
        pool: of handler objects, all of one form. It gets a first object, and names
            PooledHandler in its rejections.
    """

    cdef ObjectPool pool
    cdef bint by_method, with_context

    def __cinit__(self, ObjectPool pool not None):
        pool.owner = "PooledHandler"
        pool.fill(1)
        self.pool = pool

    def set_form(self, bint by_method, bint with_context):
        """Set whether to call a method `handle`, and whether with the context."""
        self.by_method = by_method
        self.with_context = with_context

    def handle(self, Context ctx, message):
        """Handle `message`; the object is returned to the pool in any case."""
        cdef Loan loan
        try:
            loan = self.pool.loan(self.pool.take(ctx))
        except PoolExhaustedError as error:
            put_name(error, message)
            raise
        try:
            handler = <object>self.pool.slots.slots[loan.slot].object
            result = self.call(handler, ctx, message)
            if is_awaitable(<PyObject *>result):
                raise promise_error(
                    "a pooled handler", result, "make it an `async def` to be awaited"
                )
        finally:
            self.pool.return_loan(&loan)
        return result

    cdef object call(self, object handler, Context ctx, object message):
        # hot: `handler.handle(...)` makes no bound method
        if self.by_method:
            if self.with_context:
                return handler.handle(ctx, message)
            return handler.handle(message)
        return handler(ctx, message) if self.with_context else handler(message)


def put_name(error, message):
    """Set the message name of a rejection."""
    if error.name is None:
        error.name = message_name(message)


constructed(PooledCall)
