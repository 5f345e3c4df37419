"""What a handler that does not await came to, and how long it held the event loop."""

from cpython.ref cimport PyObject

from cqrs_fast.pipeline.frame cimport Frame


# Make what it returned (a new reference, or NULL with an exception) the outcome, and
# head outwards. Where the clock is read before and after it, one that held the loop
# longer than the gate allows is reported, once for each name.
cdef int take_plain(Frame *f, PyObject *returned) noexcept
