"""Results that are promises of work: they are put to rest, and an error says so."""

from cpython.ref cimport PyObject

from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.route cimport Route

# What a handler returned: an awaitable that nobody awaits, or an async generator. Where
# the handler itself was awaited, this is what came of it.
cdef object promise_error_of(
    Route route, object message, object promise, bint was_awaited
)
# Why execute_async refuses a route.
cdef object async_refusal(Route route, object message)
# The result of the frame is one: the error takes its place.
cdef int refuse_result(Frame *f, bint was_awaited) noexcept
# Raise for one that is no frame's: NULL. Steals it.
cdef PyObject *raise_promise(Route route, object message, PyObject *promise) noexcept
# Raise an error without a frame of this library in its traceback: NULL.
cdef PyObject *fail(object error) noexcept
