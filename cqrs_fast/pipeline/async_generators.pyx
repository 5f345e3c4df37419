"""Async generator middleware: the same, which the async driver awaits for the stage."""

cimport cython
from cpython.ref cimport Py_INCREF, PyObject

from cqrs_fast.base.calling cimport is_async_generator
from cqrs_fast.base.errstate cimport is_transparent
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.awaiting cimport Await, say_await, take_answer
from cqrs_fast.pipeline.frame cimport PROCEED, STOP, Frame
from cqrs_fast.pipeline.frame_ops cimport frame_context
from cqrs_fast.pipeline.generators cimport (
    answer_with, came_back, give_context, never_yielded, reraise, yielded_again,
    yielded_other,
)
from cqrs_fast.pipeline.route cimport frame_name
from cqrs_fast.pipeline.stage cimport Stage

from cqrs_fast.base.naming import label_of
from cqrs_fast.base.promises import put_to_rest
from cqrs_fast.pipeline.middleware import Stop


@cython.final
cdef class AsyncGeneratorStage(Stage):
    """The stage of one async generator function `(ctx, message)`."""

    def __init__(self, function):
        self.function = function
        self.has_slot = self.calls_user_code = self.awaits = True

    cdef tuple described(self):
        return "async generator", {"function": label_of(self.function)}

    cdef int enter(self, Frame *f) except -1:
        cdef Await came = take_answer(f)
        cdef Steps steps
        if came is not None:
            steps = <Steps>f.slot.object
            return steps.opened(f, came)
        generator = self.function(frame_context(f), <object>f.message)
        if not is_async_generator(<PyObject *>generator):
            put_to_rest(generator, frame_name(f))
            raise TypeError(
                f"{label_of(self.function)} returned {generator!r}, no async generator"
            )
        steps = Steps.__new__(Steps)
        steps.function = self.function
        steps.generator = generator
        Py_INCREF(steps)
        f.slot.object = <PyObject *>steps
        return say_await(f, Advance(generator.__anext__()))

    cdef int leave(self, Frame *f) except -1:
        cdef Await came = take_answer(f)
        cdef Steps steps = <Steps>f.slot.object
        return steps.leave(f) if came is None else steps.left(f, came)


@cython.final
cdef class Steps:
    """The steps of one async generator, in the slot of its stage."""

    cdef int opened(self, Frame *f, Await came) except -1:
        """Its first step was awaited, or what followed from that."""
        if self.phase != OPENING:
            if not self.ended(f, came):
                return self.close(f, yielded_again(self.function))
            answer_with(f, self.function, self.answer)
            return STOP
        if came.error is not None:
            if type(came.error) is StopAsyncIteration:
                raise never_yielded(self.function)
            return reraise(came.error)
        if type(came.result) is Stop:
            return self.end_with(f, came.result.value)
        if type(came.result) is Context:
            self.given = give_context(f, <Context>came.result)
        elif came.result is not None:
            return self.close(f, yielded_other(self.function, came.result))
        self.phase = ENTERED
        return PROCEED

    cdef int leave(self, Frame *f) except -1:
        if self.given is not None:
            self.given.take_back(f)
            self.given = None
        self.phase = LEAVING
        if f.error == NULL:
            return say_await(f, Advance(self.generator.asend(<object>f.result)))
        error = <object>f.error
        self.traceback = error.__traceback__
        return say_await(f, Advance(self.generator.athrow(error)))

    cdef int left(self, Frame *f, Await came) except -1:
        """The step with the outcome was awaited, or what followed from that."""
        if self.phase == LEAVING:
            if came.error is None:
                if f.error != NULL and is_transparent(f.error):
                    return self.close(f, yielded_again(self.function))
                return self.end_with(f, came.result)
            if f.error != NULL:
                if came_back(came.error, <object>f.error, self.traceback):
                    return PROCEED
                if type(came.error) is StopAsyncIteration:
                    answer_with(f, self.function, None)
                    return PROCEED
            elif type(came.error) is StopAsyncIteration:
                return PROCEED
            return reraise(came.error)
        if not self.ended(f, came):
            return self.close(f, yielded_again(self.function))
        answer_with(f, self.function, self.answer)
        return PROCEED

    cdef int end_with(self, Frame *f, object answer) except -1:
        """Let it run to its end, from a yield that gave the answer."""
        self.answer = answer
        self.phase = ENDING
        return say_await(f, Advance(self.generator.__anext__()))

    cdef int close(self, Frame *f, object failure) except -1:
        """Close it where it must not stand; then the failure is raised."""
        self.failure = failure
        self.phase = CLOSING
        return say_await(f, Advance(self.generator.aclose()))

    cdef int ended(self, Frame *f, Await came) except -1:
        """Whether it has ended as it must; raises where that failed."""
        if self.phase == CLOSING:
            if came.error is not None:
                self.failure.__context__ = came.error
                if is_transparent(<PyObject *>came.error):
                    return reraise(came.error)
            raise self.failure
        if came.error is None:
            return False
        if type(came.error) is not StopAsyncIteration:
            return reraise(came.error)
        return True


@cython.final
cdef class Advance:
    """One step of an async generator; closing it raises GeneratorExit inside."""

    def __init__(self, step):
        self.step = step

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.step.send(None)

    def send(self, value):
        return self.step.send(value)

    def throw(self, error, value=None, traceback=None):
        return self.step.throw(error)

    def close(self):
        try:
            self.step.throw(GeneratorExit())
        except (GeneratorExit, StopIteration, StopAsyncIteration):
            pass
        else:
            raise RuntimeError("the async generator ignored its GeneratorExit")


constructed(AsyncGeneratorStage)
internal(Steps)
constructed(Advance)
