"""Invalidates: the stage of a command that says which cached answers it makes stale."""

cimport cython

from cqrs_fast.base.sealing cimport internal
from cqrs_fast.pipeline.endings cimport at_end
from cqrs_fast.pipeline.frame cimport PROCEED, Frame
from cqrs_fast.pipeline.frame_ops cimport frame_context
from cqrs_fast.pipeline.route cimport frame_name
from cqrs_fast.pipeline.stage cimport Stage

from cqrs_fast.stages.caching.invalidation import Forgetting, check_declared


def stage_for(cls):
    """Return the stage that serves commands of a class, next to their handler.

    Raises TypeError if the class's `invalidates` makes no sense.
    """
    check_declared(cls)
    return Invalidates.__new__(Invalidates)


@cython.final
cdef class Invalidates(Stage):
    """Forget what a command says, once its handler was about to run.

    That is at the end of its dispatch, and of each dispatch around it: a reader may
    have stored the old row before an outer transaction was committed.
    """

    def __cinit__(self):
        self.has_slot = True

    cdef int enter(self, Frame *f) except -1:
        # Once for all attempts.
        if f.slot.a == 0:
            f.slot.a = 1
            ending = Forgetting(<object>f.message, frame_name(f))
            at_end(frame_context(f).own(), ending)
        return PROCEED

    cdef tuple described(self):
        return "invalidates", {}


internal(Invalidates)
