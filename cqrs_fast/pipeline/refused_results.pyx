"""Results that are promises of work: they are put to rest, and an error says so."""

from cpython.ref cimport PyObject

from cqrs_fast.base.awaitables cimport is_async_generator
from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.frame_ops cimport set_error
from cqrs_fast.pipeline.route cimport Route, own_name

from cqrs_fast.base.promises import kind_of, put_to_rest
from cqrs_fast.errors import AsyncHandlerError, ResultTypeError


cdef object promise_error_of(Route route, object message, object promise):
    name = own_name(route, message)
    put_to_rest(promise, route.name)
    if is_async_generator(<PyObject *>promise):
        return ResultTypeError(
            "one whose work is done, such as a list", kind_of(promise), name
        )
    return AsyncHandlerError(
        name,
        f"its handler returned {kind_of(promise)}",
        "await bus.execute_async(message), or register the handler with is_async=True",
    )


cdef int refuse_result(Frame *f) noexcept:
    try:
        set_error(
            f,
            promise_error_of(<Route>f.route, <object>f.message, <object>f.result),
        )
    except BaseException as error:
        set_error(f, error)
    return 0
