"""Wait in a sync dispatch: block the thread."""

from cqrs_fast.pipeline.frame cimport Frame

# For as long as the stage asked, or until the wait is ended from outside.
cdef int park(Frame *f) noexcept
