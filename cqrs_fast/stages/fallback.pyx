"""Fallback: a result in place of an error."""

cimport cython
from cpython.ref cimport PyObject

from cqrs_fast.base.calling cimport is_promise
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.error_kinds cimport is_domain, matches, names_domain
from cqrs_fast.base.errstate cimport is_transparent
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.pipeline.deadline cimport may_begin
from cqrs_fast.pipeline.frame cimport PROCEED, Frame
from cqrs_fast.pipeline.frame_ops cimport frame_context, set_result
from cqrs_fast.pipeline.route cimport Route
from cqrs_fast.pipeline.stage cimport Stage

from operator import attrgetter

from cqrs_fast.base.arguments import exception_classes
from cqrs_fast.base.callables import plain_callable
from cqrs_fast.base.naming import label_of
from cqrs_fast.base.promises import promise_error

cdef str INSTEAD = (
    "write an async middleware (ctx, message, next) that awaits next(ctx, message) and "
    "answers in an except clause"
)


@cython.final
cdef class FallbackMiddleware(Stage):
    """Answer with the result of a function where what lies inside fails.

    Parameters:
        fallback: `fallback(ctx, message, error)` returns the result, None included.
            What it raises reaches the caller, chained to the error.
        on: the Exception class, or tuple of such, that it is asked about, None: each;
            others pass, and so does a BaseException that is no Exception. A domain
            error is an answer: it passes unless `on` names its class or a domain class
            above it.

    Raises TypeError unless `fallback` is a callable that is not async and `on` is made
    of Exception classes; an awaitable that `fallback` returns all the same fails the
    dispatch with a TypeError. It is called in the dispatching thread, on the event loop
    under `execute_async`, and by many at once where they share this object. It is not
    called after the deadline of a timeout outside of this, or of the caller's context:
    then the error passes.
    """

    cdef object fallback
    cdef tuple on

    def __cinit__(self):
        self.skips_results = True

    def __init__(self, fallback, on=None):
        """Check and keep the parameters: the class describes them."""
        self.fallback = plain_callable("fallback", fallback, INSTEAD)
        self.on = exception_classes("on", Exception if on is None else on)

    def settings(self):
        """Return where `fallback` is defined, and the names of the classes."""
        return {
            "fallback": label_of(self.fallback),
            "on": list(map(attrgetter("__qualname__"), self.on)),
        }

    cdef int leave(self, Frame *f) except -1:
        if is_transparent(f.error):
            return PROCEED
        if not matches(f.error, <PyObject *>self.on):
            return PROCEED
        domain_errors = (<Route>f.route).gate.domain_errors
        if is_domain(f.error, domain_errors) and not names_domain(
            self.on, f.error, domain_errors
        ):
            return PROCEED
        if not may_begin(f):
            return PROCEED
        result = self.fallback(
            frame_context(f), <object>f.message, <object>f.error
        )
        if is_promise(<PyObject *>result):
            raise promise_error("fallback", result, INSTEAD)
        set_result(f, result)
        return PROCEED


signed(FallbackMiddleware)
constructed(FallbackMiddleware)
