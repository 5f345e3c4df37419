"""WaitQueue: the dispatches that wait for one thing, first come, first served.

A linked list, so that to leave from its middle costs no search. It borrows the places:
each is owned by its dispatch, whose stage removes it whatever ends the wait.
"""

cimport cython
from cpython.ref cimport Py_INCREF, PyObject

from cqrs_fast.pipeline.frame cimport WAIT, delay_by


@cython.final
@cython.no_gc_clear
@cython.auto_pickle(False)
cdef class Place:
    """One dispatch in a queue."""

    def __dealloc__(self):
        if self.queue is not None:
            self.queue.remove(self)


@cython.final
@cython.auto_pickle(False)
cdef class WaitQueue:
    """The dispatches that wait for one thing, first come, first served."""

    cdef int join(self, Place place) noexcept:
        place.queue = self
        place.before = self.last
        place.behind = NULL
        if self.last == NULL:
            self.first = <PyObject *>place
        else:
            (<Place>self.last).behind = <PyObject *>place
        self.last = <PyObject *>place
        self.length += 1
        return 0

    cdef int remove(self, Place place) noexcept:
        if place.before == NULL:
            self.first = place.behind
        else:
            (<Place>place.before).behind = place.behind
        if place.behind == NULL:
            self.last = place.before
        else:
            (<Place>place.behind).before = place.before
        place.before = place.behind = NULL
        self.length -= 1
        place.queue = None
        return 0

    cdef int forget_all(self) noexcept:
        while self.first != NULL:
            self.remove(<Place>self.first)
        return 0


cdef Place take_place(Frame *f):
    cdef Place place = Place.__new__(Place)
    place.waiter = Waiter.__new__(Waiter)
    Py_INCREF(place)
    f.slot.object = <PyObject *>place
    return place


cdef int stand(Frame *f, Place place, Clock clock, int64_t delay_ns) except -1:
    delay_by(f, clock, delay_ns)
    Py_INCREF(place.waiter)
    f.waiter = <PyObject *>place.waiter
    return WAIT


cdef bint rouse(Place place) except -1:
    cdef Waiter waiter = place.waiter
    try:
        return waiter.notify()
    except BaseException:
        # A signal handler may raise into the loop's own code: nobody else will wake it.
        waiter.notify()
        raise
