"""Whether a message may be handled twice, and since when that takes."""

from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.pipeline.frame cimport Frame

# Whether instances of a command's class may be: it says `idempotent = True`, or they
# may have an `idempotency_key`.
cdef bint may_be_repeatable(object cls) except -1

# Whether this message may be: a query, or a command that says so.
cdef bint is_repeatable(Frame *f) except -1

# The reading on the way in by `clock`, or one of its own where the route has none.
cdef int64_t way_in_ns(Frame *f, Clock clock) except? -1
