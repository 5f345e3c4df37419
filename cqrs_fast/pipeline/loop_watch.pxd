"""Report a handler that held the event loop for too long, once for each name."""

from libc.stdint cimport int64_t

from cqrs_fast.pipeline.frame cimport Frame


# The handler of the frame's route held it for so long, more than its gate allows.
cdef int report_held_loop(Frame *f, int64_t held_ns) noexcept
