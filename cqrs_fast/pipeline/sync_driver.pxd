"""The sync driver: calls the handler in this thread and waits by blocking it."""

from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.route cimport Route


# Run one dispatch of `message` through `route`; the caller holds both.
cdef object run_sync(Route route, object message, Context context)
