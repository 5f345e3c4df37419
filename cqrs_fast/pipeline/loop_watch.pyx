"""What a handler that does not await came to, and how long it held the event loop."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t

from cqrs_fast.base.awaitables cimport is_async_generator
from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.gate cimport InFlight
from cqrs_fast.pipeline.refused_results cimport refuse_result
from cqrs_fast.pipeline.route cimport Route
from cqrs_fast.pipeline.walk cimport capture_error, turn

from cqrs_fast.base.callbacks import report_callback_error


cdef int take_plain(Frame *f, PyObject *returned) noexcept:
    # hot
    cdef int64_t began_ns = f.now_ns
    if returned == NULL:
        capture_error(f)
    else:
        f.result = returned
        if is_async_generator(returned):
            refuse_result(f, True)
    turn(f)
    if f.now_ns - began_ns > (<Route>f.route).gate.loop_block_ns:
        report(f, f.now_ns - began_ns)
    return 0


cdef int report(Frame *f, int64_t held_ns) noexcept:
    cdef Route route = <Route>f.route
    cdef InFlight counter = route.counter
    # A clock that was given may tell any time.
    if counter.held_loop or route.clock is not None:
        return 0
    counter.held_loop = True
    try:
        log_held_loop(route.name, held_ns / 1e9, route.gate.loop_block_ns / 1e9)
    except BaseException as error:
        report_callback_error("logging", route.name, error)
    return 0


def log_held_loop(name, held, threshold):
    """Log that the handler of `name` held the event loop for `held` seconds."""
    import logging

    logging.getLogger("cqrs_fast").warning(
        "the handler of %s held the event loop for %.3f s, longer than "
        "loop_block_threshold=%g: register it with offload=True, or make it async "
        "(told once)",
        name,
        held,
        threshold,
    )
