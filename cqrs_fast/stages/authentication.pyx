"""Authentication: who a dispatch acts for, or that it may not."""

cimport cython
from cpython.ref cimport PyObject

from cqrs_fast.base.calling cimport is_awaitable
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.frame cimport PROCEED, Frame
from cqrs_fast.pipeline.frame_ops cimport frame_context, put_in_place
from cqrs_fast.pipeline.stage cimport Stage

from cqrs_fast.base.callables import plain_callable
from cqrs_fast.base.naming import label_of
from cqrs_fast.base.promises import promise_error

cdef str INSTEAD = (
    "write an async middleware (ctx, message, next) that awaits and goes on with "
    "next(ctx.with_principal(principal), message)"
)


@cython.final
cdef class AuthenticationMiddleware(Stage):
    """Ask who a dispatch acts for; what lies inside sees them as `ctx.principal`.

    The principal that the caller's context had is replaced, also by None, which is
    nobody. Put it outside of everything that keys by the principal, a cache first of
    all: an answer from a cache outside of it is given without asking.

    Parameters:
        authenticate: `authenticate(ctx, message)` returns the principal, or raises to
            reject the dispatch; the caller gets that exception.

    Raises TypeError unless `authenticate` is a callable that is not async; an awaitable
    that it returns all the same rejects the dispatch with a TypeError. It is called in
    the dispatching thread, on the event loop under `execute_async`, and by many at once
    where they share this object.
    """

    cdef object authenticate

    def __cinit__(self):
        self.calls_user_code = True

    def __init__(self, authenticate):
        """Check and keep the parameters: the class describes them."""
        self.authenticate = plain_callable("authenticate", authenticate, INSTEAD)

    def settings(self):
        """Return where `authenticate` is defined."""
        return {"authenticate": label_of(self.authenticate)}

    cdef int enter(self, Frame *f) except -1:
        cdef Context context = frame_context(f)
        principal = self.authenticate(context, <object>f.message)
        if is_awaitable(<PyObject *>principal):
            raise promise_error("authenticate", principal, INSTEAD)
        if principal is not context.state.principal:
            put_in_place(f, context.with_principal(principal))
        return PROCEED


signed(AuthenticationMiddleware)
constructed(AuthenticationMiddleware)
