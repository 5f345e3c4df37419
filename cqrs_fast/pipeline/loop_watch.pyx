"""Report a handler that held the event loop for too long, once for each name."""

from libc.stdint cimport int64_t

from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.gate cimport InFlight
from cqrs_fast.pipeline.route cimport Route

from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.base.naming import label_of


cdef int report_held_loop(Frame *f, int64_t held_ns) noexcept:
    cdef Route route = <Route>f.route
    cdef InFlight counter = route.counter
    if counter.held_loop:
        return 0
    counter.held_loop = True
    try:
        log_held_loop(
            route.name, label_of(route.handler), route.is_async, held_ns / 1e9,
            route.gate.loop_block_ns / 1e9,
        )
    except BaseException as error:
        report_callback_error("logging", route.name, error)
    return 0


def log_held_loop(name, handler, is_async, held, threshold):
    """Log that `handler`, that of `name`, held the event loop for `held` seconds."""
    import logging

    logging.getLogger("cqrs_fast").warning(
        "the handler of %s, %s, held the event loop for %.3f s, longer than "
        "loop_block_threshold=%g: %s (logged once)",
        name,
        handler,
        held,
        threshold,
        "await where it waits, or call blocking code by asyncio.to_thread"
        if is_async
        else "register it with offload=True, or make it async",
    )
