"""Results that are promises of work: they are put to rest, and an error says so."""

from cpython.ref cimport Py_INCREF, PyObject

from cqrs_fast.base.calling cimport is_async_generator
from cqrs_fast.base.errstate cimport raise_again, steal
from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.frame_ops cimport set_error
from cqrs_fast.pipeline.route cimport Route, own_name

from cqrs_fast.base.naming import label_of
from cqrs_fast.base.promises import kind_of, put_to_rest
from cqrs_fast.errors import AsyncHandlerError, ResultTypeError


cdef object promise_error_of(
    Route route, object message, object promise, bint was_awaited
):
    name = own_name(route, message)
    put_to_rest(promise, route.name)
    if is_async_generator(<PyObject *>promise):
        return ResultTypeError(
            "one whose work is done, such as a list", kind_of(promise), name
        )
    if was_awaited:
        where = label_of(route.call)
        return ResultTypeError(
            f"one whose work is done: write `return await ...` in {where}",
            kind_of(promise),
            name,
        )
    hint = "await bus.execute_async(message), or register it with is_async=True"
    if route.is_inner:
        hint = (
            "register it with is_async=True; a sync around or factory outside of it "
            "ends before it runs: write that as a generator (ctx, message) that yields"
        )
    return AsyncHandlerError(name, f"its handler returned {kind_of(promise)}", hint)


cdef object async_refusal(Route route, object message):
    return AsyncHandlerError(own_name(route, message), *route.why_not_async)


cdef int refuse_result(Frame *f, bint was_awaited) noexcept:
    cdef Route route = <Route>f.route
    try:
        message, result = <object>f.message, <object>f.result
        set_error(f, promise_error_of(route, message, result, was_awaited))
    except BaseException as error:
        set_error(f, error)
    return 0


cdef PyObject *raise_promise(
    Route route, object message, PyObject *result
) noexcept:
    promise = steal(result)
    try:
        error = promise_error_of(route, message, promise, False)
    except BaseException as raised:
        error = raised
    return fail(error)


cdef PyObject *fail(object error) noexcept:
    Py_INCREF(error)
    raise_again(<PyObject *>error)
    return NULL
