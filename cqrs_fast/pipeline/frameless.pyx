"""A sync dispatch of which only the context is needed: it has no frame."""

from cpython.exc cimport PyErr_Occurred
from cpython.ref cimport Py_DECREF
from libc.stdint cimport uint32_t

from cqrs_fast.base.calling cimport call, is_promise
from cqrs_fast.base.errstate cimport raise_again, take_raised
from cqrs_fast.base.forks cimport fork_count
from cqrs_fast.context cimport background, dispatch_context
from cqrs_fast.pipeline.endings cimport run_endings
from cqrs_fast.pipeline.frame cimport ENDINGS
from cqrs_fast.pipeline.refused_results cimport raise_promise
from cqrs_fast.pipeline.route cimport AROUND
from cqrs_fast.pipeline.walk cimport count_out, hand_out


# dispatch_context with its NULL as a value, as walk.pxd has its Invocation.
ctypedef PyObject *(*Derivation)(PyObject *parent) noexcept


cdef PyObject *run_in_context(Route route, object message, Context parent) noexcept:
    # hot: of all that a frame has, only the context is needed
    cdef PyObject *args[4]
    cdef PyObject *result
    cdef uint32_t forks = fork_count
    cdef PyObject *origin = <PyObject *>(background if parent is None else parent)
    cdef PyObject *context = (<Derivation>dispatch_context)(origin)
    if context == NULL:
        return NULL
    args[1] = context
    args[2] = <PyObject *>message
    args[3] = <PyObject *>route.next
    route.in_flight[0] += 1
    result = call(<PyObject *>route.call, &args[1], 3 if route.form == AROUND else 2)
    if result != NULL and is_promise(result):
        result = raise_promise(route, message, result)
    count_out(route.in_flight, <PyObject *>route.gate, forks)
    leave_context(route, context, NULL if parent is None else <PyObject *>parent)
    return result


cdef int run_between(Context own) noexcept:
    """Run the endings of a dispatch; what its handler raised is kept for the caller."""
    cdef PyObject *raised = take_raised() if PyErr_Occurred() != NULL else NULL
    run_endings(own)
    if raised != NULL:
        raise_again(raised)
    return 0


cdef inline int leave_context(
    Route route, PyObject *context, PyObject *parent
) noexcept:
    """End a dispatch's own context, as `release` does that of a frame."""
    cdef Context own = <Context>context
    own.live = False
    if own.origin is not None and not own.origin.live:
        own.cut_origin()
    if own.notes & ENDINGS:
        run_between(own)
    if (own.retries or own.notes) and route.is_inner and parent != NULL:
        hand_out(parent, own.retries, own.notes)
    Py_DECREF(own)
    return 0
