"""Endings: what is done when a dispatch ends, and again when the one around it does."""

from cpython.ref cimport PyObject

from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.frame cimport ENDINGS

from cqrs_fast.base.callbacks import report_callback_error

# Address of a dispatch's own context, which lives until the dispatch has ended: a list.
cdef dict pending = {}


cdef object address(Context own):
    return <size_t><PyObject *>own


cdef int at_end(Context own, object ending) except -1:
    own.notes |= ENDINGS
    pending.setdefault(address(own), []).append(ending)
    return 0


cdef int run_endings(Context own) noexcept:
    own.notes &= ~<int>ENDINGS
    try:
        run_all(own, pending.pop(address(own), ()))
    except BaseException as error:
        report_callback_error("the end of a dispatch", "a message", error)
    return 0


cdef int run_all(Context own, object endings) except -1:
    cdef Context outer = own.origin
    while outer is not None and not outer.live:
        outer = outer.origin
    for ending in endings:
        if outer is not None and outer.live:
            at_end(outer, ending)
        try:
            ending()
        except Exception as error:
            report_callback_error("the end of a dispatch", "a message", error)
    return 0
