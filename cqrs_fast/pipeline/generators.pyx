"""Generator middleware: a generator function `(ctx, message)` as a compiled stage."""

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject

from cqrs_fast.base.calling cimport is_promise
from cqrs_fast.base.calling cimport call, send_generator
from cqrs_fast.base.errstate cimport raise_again, steal
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.context cimport NO_DEADLINE, Context, ContextState
from cqrs_fast.pipeline.coroutine cimport FAILED, RETURNED, YIELDED
from cqrs_fast.pipeline.frame cimport PROCEED, STOP, Frame
from cqrs_fast.pipeline.frame_ops cimport (
    end_limit, frame_context, put_in_place, set_result,
)
from cqrs_fast.pipeline.route cimport Route, frame_name
from cqrs_fast.pipeline.stage cimport Stage

from collections.abc import Generator

from cqrs_fast.base.naming import label_of
from cqrs_fast.base.promises import kind_of, put_to_rest
from cqrs_fast.errors import ResultTypeError
from cqrs_fast.pipeline.middleware import Stop


cdef extern from "Python.h":
    bint PyGen_CheckExact(PyObject *value) noexcept


@cython.final
cdef class GeneratorStage(Stage):
    """The stage of one generator function `(ctx, message)`."""

    def __init__(self, function):
        self.function = function
        self.has_slot = self.calls_user_code = True

    cdef tuple described(self):
        return "generator", {"function": label_of(self.function)}

    cdef int enter(self, Frame *f) except -1:
        # hot: no new object but the generator
        cdef PyObject *args[3]
        cdef PyObject *came = NULL
        cdef PyObject *generator
        cdef int sent
        frame_context(f)
        args[1] = f.context
        args[2] = f.message
        generator = call(<PyObject *>self.function, &args[1], 2)
        if generator == NULL:
            return -1
        if not PyGen_CheckExact(generator):
            return self.begin_otherwise(f, steal(generator), FAILED, NULL)
        sent = send_generator(generator, <PyObject *>None, &came)
        if sent != YIELDED or came != <PyObject *>None:
            return self.begin_otherwise(f, steal(generator), sent, came)
        Py_DECREF(<object>came)
        f.slot.object = generator
        return PROCEED

    cdef int begin_otherwise(self, Frame *f, object generator, int sent,
                             PyObject *came) except -1:
        if not PyGen_CheckExact(<PyObject *>generator):
            if not isinstance(generator, Generator):
                put_to_rest(generator, frame_name(f))
                raise TypeError(
                    f"{label_of(self.function)} returned {generator!r}, no generator"
                )
            sent = send_generator(<PyObject *>generator, <PyObject *>None, &came)
        if sent == FAILED:
            return -1
        value = steal(came)
        if sent == RETURNED:
            if value is None:
                raise never_yielded(self.function)
            answer_with(f, self.function, value.value if type(value) is Stop else value)
            return STOP
        if type(value) is Context:
            kept = give_context(f, <Context>value)
            (<GivenContext>kept).generator = generator
            f.slot.a = True
        elif value is not None:
            raise self.misuse(generator, yielded_other(self.function, value))
        else:
            kept = generator
        Py_INCREF(kept)
        f.slot.object = <PyObject *>kept
        return PROCEED

    cdef int leave(self, Frame *f) except -1:
        # hot: nothing but the user's own code
        cdef PyObject *came = NULL
        cdef int sent
        if f.slot.a:
            take_back(f)
        if f.error != NULL:
            return self.leave_failed(f)
        sent = send_generator(f.slot.object, f.result, &came)
        if sent == FAILED:
            return -1
        if sent == YIELDED:
            Py_DECREF(<object>came)
            raise self.misuse(<object>f.slot.object, yielded_again(self.function))
        if came == <PyObject *>None:
            Py_DECREF(<object>came)
        else:
            answer_with(f, self.function, steal(came))
        return PROCEED

    cdef int leave_failed(self, Frame *f) except -1:
        generator, error = <object>f.slot.object, <object>f.error
        traceback, raised = error.__traceback__, None
        try:
            generator.throw(error)
        except BaseException as came:
            raised = came
        if raised is None:
            raise self.misuse(generator, yielded_again(self.function))
        if came_back(raised, error, traceback):
            return PROCEED
        if type(raised) is StopIteration:
            answer_with(f, self.function, raised.value)
            return PROCEED
        return reraise(raised)

    cdef object misuse(self, object generator, object error):
        """Close a generator that did not end where it must; return the error."""
        try:
            generator.close()
        except BaseException as failure:
            error.__context__ = failure
        return error


cdef int take_back(Frame *f) except -1:
    """Put the frame's own context back, and the generator into its slot."""
    cdef GivenContext given = <GivenContext>f.slot.object
    generator = given.generator
    Py_INCREF(generator)
    f.slot.object = <PyObject *>generator
    Py_DECREF(given)
    f.slot.a = False
    given.take_back(f)
    return 0


@cython.final
cdef class GivenContext:
    """What a generator gave the inside, and what is put back behind it."""

    cdef int take_back(self, Frame *f) except -1:
        cdef Context inside = <Context>f.context
        f.parent = self.parent
        f.limited = self.limited
        if inside.state.limit is not self.outer.state.limit:
            end_limit(inside)
        put_in_place(f, self.outer)
        # What a timeout outside of it had published may have ended: it does so again.
        f.published_ns = NO_DEADLINE if f.deadline_ns == NO_DEADLINE else -1
        return 0


cdef GivenContext give_context(Frame *f, Context context):
    cdef GivenContext given = GivenContext.__new__(GivenContext)
    cdef Context outer = frame_context(f)
    cdef Context inside = inside_of(outer, context)
    cdef ContextState seen = outer.state, state = inside.state
    given.outer = outer
    given.parent = f.parent
    given.limited = f.limited
    if state.deadline_ns != seen.deadline_ns or state.scope is not seen.scope:
        # Waits go by the limits of the caller's context: there these take its place.
        state = state.copy()
        state.limit = None if f.parent == NULL else (<Context>f.parent).state.limit
        given.bounds = inside.derive(state)
        f.parent = <PyObject *>given.bounds
        f.limited = state.limited
    put_in_place(f, inside)
    return given


cdef Context inside_of(Context outer, Context context):
    """The context as one of this dispatch; one from elsewhere extends no deadline."""
    cdef Context own = outer.own()
    cdef ContextState state = context.state
    if context.own() is own:
        return context
    if outer.state.deadline_ns < state.deadline_ns:
        state = state.copy()
        state.deadline_ns = outer.state.deadline_ns
        state.clock = outer.state.clock
        state.limit = outer.state.limit
        state.limited = True
    return own.derive(state)


cdef int answer_with(Frame *f, object function, object value) except -1:
    if is_promise(<PyObject *>value):
        put_to_rest(value, (<Route>f.route).name)
        raise ResultTypeError(
            f"one whose work is done: the middleware {label_of(function)} gave it",
            kind_of(value),
            frame_name(f),
        )
    return set_result(f, value)


cdef bint came_back(object raised, object error, object traceback) except -1:
    if raised is not error:
        # PEP 479: a generator cannot raise these.
        if type(raised) is not RuntimeError or raised.__cause__ is not error:
            return False
        if not isinstance(error, (StopIteration, StopAsyncIteration)):
            return False
    error.__traceback__ = traceback
    return True


cdef int reraise(object error) noexcept:
    Py_INCREF(error)
    raise_again(<PyObject *>error)
    return -1


cdef object never_yielded(object function):
    return RuntimeError(
        f"the middleware {label_of(function)} ended without its yield and without an "
        "answer, so nothing has run: yield to run what is inside, or answer the call "
        "(return value, in an async generator yield Stop(value))"
    )


cdef object yielded_again(object function):
    return RuntimeError(
        f"the middleware {label_of(function)} yielded once more, and what is inside "
        "runs once: end after the yield (return value replaces the result, in an async "
        "generator a second yield)"
    )


cdef object yielded_other(object function, object value):
    return TypeError(
        f"the middleware {label_of(function)} yielded a {type(value).__name__}: write "
        "`yield`, or `yield ctx` with the context for what is inside"
    )


constructed(GeneratorStage)
internal(GivenContext)
