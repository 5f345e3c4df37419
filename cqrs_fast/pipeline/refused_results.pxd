"""Results that are promises of work: they are put to rest, and an error says so."""

from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.route cimport Route

# What a handler returned: an awaitable that nobody awaits, or an async generator.
cdef object promise_error_of(Route route, object message, object promise)
# The result of the frame is one: the error takes its place.
cdef int refuse_result(Frame *f) noexcept
