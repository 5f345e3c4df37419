"""The life of an async dispatch: made or taken from the pool, visited, freed.

What `execute_async` returns is needed from its call to its end; finished ones are kept
for the next. One that is freed before its end is closed first, as a coroutine is.
"""

from cpython.exc cimport PyErr_Occurred, PyErr_WriteUnraisable
from cpython.mem cimport PyMem_RawRealloc
from cpython.ref cimport Py_INCREF, PyObject

from cqrs_fast.base.errstate cimport raise_again, steal, take_raised
from cqrs_fast.pipeline.async_driver cimport Dispatch
from cqrs_fast.pipeline.coroutine cimport CREATED, FINISHED
from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.timers cimport Timeout

from cqrs_fast.base.arguments import flag, whole_number
from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.pipeline.unawaited import warn_never_awaited


cdef extern from "cqrs_fast/pipeline/async_driver.h":
    # What sys.get_coroutine_origin_tracking_depth() returns.
    int origin_depth "cqrs_origin_depth"() noexcept

cdef extern from "cqrs_fast/pipeline/frame_pool.h":
    ctypedef int (*visitproc)(PyObject *, void *) noexcept
    void set_life_slots "cqrs_set_life_slots"(type, void *, void *, void *) noexcept
    void generated_dealloc "cqrs_generated_dealloc"(PyObject *) noexcept
    int generated_traverse "cqrs_generated_traverse"(
        PyObject *, visitproc, void *
    ) noexcept

    void PyObject_GC_Track(PyObject *) noexcept
    void PyObject_GC_UnTrack(PyObject *) noexcept
    PyObject *revived "cqrs_revived"(PyObject *dead) noexcept
    bint PyObject_GC_IsFinalized(PyObject *) noexcept
    bint finalized "cqrs_finalized"(PyObject *dying) noexcept


# Finished dispatches, for the next ones: their fields are as __new__ would set them,
# the frame excepted, which `start` makes ready. The pool is on the heap and only grows;
# who looks at it reads all three anew wherever Python code may have run.
cdef enum:
    USUAL_CAPACITY = 256
    MOST_CAPACITY = 1_000_000

cdef PyObject **pool = NULL
cdef int pooled = 0
cdef int capacity = 0


cdef int grow_pool(int size) except -1:
    """Make room for so many; no Python code can run in here."""
    global pool, capacity
    cdef PyObject **grown
    if size > capacity:
        grown = <PyObject **>PyMem_RawRealloc(pool, size * sizeof(PyObject *))
        if grown == NULL:
            raise MemoryError
        pool = grown
        capacity = size
    return 0


grow_pool(USUAL_CAPACITY)


def reserve_frames(size, preallocate=False):
    """Keep up to `size` frames of async dispatches for reuse; return how many it keeps.

    A frame is what one `execute_async` needs from its call to its end, about 700 bytes.
    The pool is one for the whole process and only ever grows; 256 without being asked.
    As many dispatches as it holds frames run at a time without a new one.

    Parameters:
        size: how many, from 0 to 1000000.
        preallocate: make those that are missing now, not when they are needed.

    Raises TypeError or ValueError for an argument that makes no sense, MemoryError
    where there is no room; the pool is as good as before then. Safe to call from any
    thread and at any time.
    """
    cdef Dispatch dispatch
    cdef int wanted = whole_number("size", size, 0, MOST_CAPACITY)
    cdef bint now = flag("preallocate", preallocate)
    grow_pool(wanted)
    if now:
        made = []
        while len(made) + pooled < wanted:
            dispatch = Dispatch.__new__(Dispatch)
            dispatch.timeout = Timeout.__new__(Timeout)
            made.append(dispatch)
        # They go to the pool as finished ones do.
        dispatch = None
        made.clear()
    return capacity


cdef PyObject *new_dispatch(
    Router router, Route route, object message, Context context
) except NULL:
    # hot: no reference is taken but those that are kept
    global pooled
    cdef PyObject *made
    if pooled > 0:
        pooled -= 1
        made = revived(pool[pooled])
    else:
        made = leaked(Dispatch.__new__(Dispatch))
    (<Dispatch>made).message = message
    if route is None:
        (<Dispatch>made).router = router
    else:
        (<Dispatch>made).route = route
    if context is not None:
        (<Dispatch>made).context = context
    if origin_depth() > 0:
        # Out of line: what is rare must not cost registers where it is not done.
        made = leaked(with_origin(steal(made)))
    return made


cdef PyObject *leaked(object value) noexcept:
    Py_INCREF(value)
    return <PyObject *>value


cdef Dispatch with_origin(Dispatch dispatch):
    dispatch.note_origin()
    return dispatch


cdef void slot_dealloc(PyObject *self) noexcept:
    # hot
    global pooled
    if (<Dispatch>self).state != FINISHED and not finalized(self):
        return
    if pooled == capacity or PyObject_GC_IsFinalized(self):
        generated_dealloc(self)
        return
    PyObject_GC_UnTrack(self)
    (<Dispatch>self).router = None
    (<Dispatch>self).route = None
    if (<Dispatch>self).origin is not None:
        (<Dispatch>self).origin = None
    (<Dispatch>self).state = CREATED
    (<Dispatch>self).counted = False
    if pooled == capacity:
        # What was let go of just now may have filled it.
        PyObject_GC_Track(self)
        generated_dealloc(self)
        return
    pool[pooled] = self
    pooled += 1


cdef void slot_finalize(PyObject *self) noexcept:
    """End a dispatch that nobody holds any more, as a coroutine is closed.

    A collection runs all finalizers before it clears anything, so the stages find
    everything whole. The mark that it leaves keeps the object out of the pool. What is
    ended here is finished: it cannot be suspended again, for it is finalized only once.
    """
    cdef PyObject *raised
    if (<Dispatch>self).state == FINISHED:
        return
    raised = take_raised() if PyErr_Occurred() != NULL else NULL
    try:
        if (<Dispatch>self).state == CREATED:
            warn_unawaited(<Dispatch>self)
        # Not by its method: to bind that takes memory.
        (<Dispatch>self).shut()
    except BaseException as error:
        report_unclosed(<Dispatch>self, error)
    if raised != NULL:
        raise_again(raised)


cdef int warn_unawaited(Dispatch dispatch) noexcept:
    if dispatch.route is None and dispatch.router is None:
        # Made for the pool, or by a call of its class.
        return 0
    try:
        warn_never_awaited(dispatch)
    except BaseException as error:
        # Where warnings are errors: as for a coroutine.
        write_unraisable(dispatch, error)
    return 0


cdef int report_unclosed(Dispatch dispatch, object error) noexcept:
    try:
        report_callback_error("closing a dispatch", dispatch.__name__, error)
    except BaseException as raised:
        write_unraisable(dispatch, raised)
    return 0


cdef int write_unraisable(Dispatch dispatch, object error) noexcept:
    Py_INCREF(error)
    raise_again(<PyObject *>error)
    PyErr_WriteUnraisable(dispatch)
    return 0


cdef int slot_traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    # The frame's references are plain pointers, which Cython's own traverse leaves out.
    # No reference may be taken in here.
    cdef Frame *f = &(<Dispatch>self).frame
    cdef PyObject *seen[4]
    cdef PyObject *item
    cdef int index
    cdef int status = generated_traverse(self, visit, arg)
    seen[0] = f.context
    seen[1] = f.result
    seen[2] = f.error
    seen[3] = f.waiter
    for index in range(4):
        if status == 0 and seen[index] != NULL:
            status = visit(seen[index], arg)
    for index in range(f.slots_used):
        item = f.slots[index].object
        if status == 0 and item != NULL:
            status = visit(item, arg)
    return status


set_life_slots(
    Dispatch, <void *>slot_traverse, <void *>slot_finalize, <void *>slot_dealloc
)
