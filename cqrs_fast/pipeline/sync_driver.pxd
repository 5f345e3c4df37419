"""The sync driver: calls the handler in this thread and waits by blocking it."""

from cpython.ref cimport PyObject

from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.route cimport Route


# Run one dispatch of `message` through `route`; the caller holds both. A new reference,
# or NULL with an exception: no function in between adds a line to its traceback.
cdef PyObject *run_sync(Route route, object message, Context context) noexcept
# The same for one that is not quick, or where there is more to do than to call it.
cdef PyObject *run_program(Route route, object message, Context context) noexcept
