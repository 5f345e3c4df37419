"""Whether there is time: before a dispatch, before its handler, and for more."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t

from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.route cimport Route


# Why this dispatch may not start, as a fresh exception, or None.
cdef object refusal(Route route, object message, PyObject *parent)

# The same for a frame: a new reference, or NULL. Where there is a reason, the dispatch
# goes no further than the stages that observe. Only while the gate drains, or where the
# context is limited.
cdef PyObject *why_refused(Frame *f) noexcept

# Whether the time is over, or the context done, just before the handler; then that is
# the outcome.
cdef bint refuse_done(Frame *f) noexcept

# A fresh DeadlineExceededError of the timeout that is nearest.
cdef object timeout_error(Frame *f, str stage)

# What is left of the time of this dispatch by now: NO_DEADLINE, or nanoseconds that are
# negative once it is over. Reads a clock only where there is a deadline.
cdef int64_t remaining_ns(Frame *f) except? -1

# Whether something new of the user's may begin on the way out: a fallback, another
# attempt. Not after the deadline, nor where the dispatch is being closed.
cdef bint may_begin(Frame *f) except -1

# Whether the error of a dispatch is its caller's alone and says nothing of the message.
cdef bint is_own_fate(Frame *f) except -1

# Whether no other attempt begins: a drain, a close, or the caller's cancel().
cdef bint ends_attempts(Frame *f) except -1
