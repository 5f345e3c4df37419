"""Async generator middleware: the same, which the async driver awaits for the stage."""

from cqrs_fast.pipeline.awaiting cimport Await
from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.generators cimport GivenContext
from cqrs_fast.pipeline.stage cimport Stage


cdef enum Phase:
    OPENING = 0         # its first step is awaited
    ENTERED = 1         # it stands at its yield
    LEAVING = 2         # the step with the outcome is awaited
    ENDING = 3          # the one after its answer: it must end
    CLOSING = 4         # its end, because of `failure`


cdef class AsyncGeneratorStage(Stage):
    cdef object function


cdef class Steps:
    """The steps of one async generator, in the slot of its stage."""

    cdef object function, generator
    cdef Phase phase
    cdef GivenContext given     # while the inside has a context of it
    cdef object answer          # while it ends: what it answered
    cdef object failure         # while it is closed: why
    cdef object traceback       # of the error that was raised in it

    # What enter and leave say to what was awaited.
    cdef int opened(self, Frame *f, Await came) except -1
    cdef int left(self, Frame *f, Await came) except -1
    cdef int leave(self, Frame *f) except -1
    cdef int end_with(self, Frame *f, object answer) except -1
    cdef int close(self, Frame *f, object failure) except -1
    cdef int ended(self, Frame *f, Await came) except -1


cdef class Advance:
    """One step of it as the driver awaits it; closing it raises GeneratorExit inside.

    The awaitable of the interpreter, before CPython 3.13, is closed without a word to
    the generator.
    """

    cdef object step
