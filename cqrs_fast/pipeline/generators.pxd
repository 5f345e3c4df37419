"""Generator middleware: a generator function `(ctx, message)` as a compiled stage.

What lies before its `yield` is the way in, what lies after it the way out. Each pass
has a generator of its own, kept in the slot.
"""

from cpython.ref cimport PyObject

from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.stage cimport Stage


cdef class GeneratorStage(Stage):
    cdef object function

    # The rare ways: what it said at its first step, and at the one after an error.
    cdef int begin_otherwise(self, Frame *f, object generator, int sent,
                             PyObject *came) except -1
    cdef int leave_failed(self, Frame *f) except -1
    cdef object misuse(self, object generator, object error)


cdef class GivenContext:
    """What a generator gave the inside, and what is put back behind it."""

    cdef object generator
    cdef Context outer          # the frame's own before
    cdef Context bounds         # of the waits inside, or None: those of before
    cdef PyObject *parent       # whose they were; borrowed, as in the frame
    cdef bint limited

    cdef int take_back(self, Frame *f) except -1


# Let the inside have `context`; it is taken back before the way out.
cdef GivenContext give_context(Frame *f, Context context)

# Make what a middleware returned the result; a promise of work is put to rest, and is
# a ResultTypeError.
cdef int answer_with(Frame *f, object function, object value) except -1

# Whether an error came back as it was raised in: it passes, with its traceback.
cdef bint came_back(object raised, object error, object traceback) except -1

# Raise it as it is: no line is added to its traceback. Always -1.
cdef int reraise(object error) noexcept

cdef object never_yielded(object function)
cdef object yielded_again(object function)
cdef object yielded_other(object function, object value)
