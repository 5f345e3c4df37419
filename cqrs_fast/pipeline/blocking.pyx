"""Wait in a sync dispatch: block the thread."""

from libc.stdint cimport int64_t

from cqrs_fast.pipeline.awaiting cimport refuse_await, says_await
from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.waiting cimport begin_wait, finish_wait
from cqrs_fast.pipeline.walk cimport end_wait
from cqrs_fast.waits.waiter cimport Waiter


cdef int park(Frame *f) noexcept:
    cdef int64_t timeout_ns = -1
    cdef Waiter waiter
    if says_await(f):
        return refuse_await(f)
    try:
        waiter = begin_wait(f, &timeout_ns)
        if waiter is not None:
            finish_wait(f, waiter, block(waiter, timeout_ns))
    except BaseException as error:
        end_wait(f, error)
    return 0


cdef object block(Waiter waiter, int64_t timeout_ns):
    """Block on `waiter`; return what was raised meanwhile, by a signal handler say."""
    raised = None
    try:
        waiter.block(timeout_ns)
    except BaseException as error:
        raised = error
    return raised
