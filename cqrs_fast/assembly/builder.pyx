"""Build routes: a list of middleware and a handler become one flat program.

The list is read from the handler outwards. Stages gather in one program; an around ends
it: the program so far becomes the route behind the around's `next`, and the around
becomes the handler of the next program out.
"""

cimport cython
from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.pipeline.gate cimport Gate
from cqrs_fast.pipeline.hooks cimport HookStage
from cqrs_fast.pipeline.next cimport Next
from cqrs_fast.pipeline.route cimport AROUND, CONTEXT_MESSAGE, MESSAGE, Route
from cqrs_fast.pipeline.stage cimport RouteSpec, Stage

from cqrs_fast.base.message_names import class_meant, name_of_class
from cqrs_fast.pipeline.middleware import Middleware, is_blocking


@cython.final
cdef class Around:
    """An element of `middleware=` that cuts the program in two."""


@cython.final
cdef class Handler:
    """A handler as it was registered, and how it is called."""

    def __init__(self, str name not None, message_type, handler, middleware=(), *,
                 is_async=None, with_context=None, offload=False):
        from cqrs_fast.base.inspection import handler_form

        form = handler_form(handler, is_async=is_async, with_context=with_context)
        if offload and form.is_async:
            raise TypeError(
                f"offload=True is for sync handlers; {name} has an async one"
            )
        self.name = name
        self.message_type = message_type
        self.message_class = class_meant(message_type)
        self.handler = handler
        self.call, self.with_context, self.is_async = form
        self.offload = offload
        self.middleware = tuple(middleware)
        self.elements = prepare_all(self.middleware)


cdef object prepare(object middleware):
    from cqrs_fast.base.inspection import (
        MIDDLEWARE_FORMS,
        is_around,
        is_factory,
    )
    from cqrs_fast.base.promises import is_coroutine_function

    if isinstance(middleware, Stage):
        return middleware
    if isinstance(middleware, Middleware):
        for hook in ("before", "after", "on_error"):
            if is_coroutine_function(getattr(middleware, hook)):
                raise TypeError(
                    f"{type(middleware).__name__}.{hook} is async, and hooks are plain "
                    "functions: write an async (ctx, message, next) instead"
                )
        return HookStage(middleware)
    cdef Around around = Around.__new__(Around)
    around.function = middleware
    if isinstance(middleware, type) and issubclass(middleware, (Middleware, Stage)):
        raise TypeError(
            f"{middleware.__name__} is a class: pass {middleware.__name__}()"
        )
    if is_around(middleware):
        around.is_async = is_coroutine_function(middleware)
        around.blocking = is_blocking(middleware)
    elif is_factory(middleware):
        around.factory = True
    else:
        raise TypeError(f"{middleware!r} is no middleware: {MIDDLEWARE_FORMS}")
    return around


def prepare_all(middleware):
    """Return the elements of a `middleware=` list, outermost first."""
    return tuple(map(prepare, middleware))


cdef Route build_route(
    Handler handler, tuple elements, str kind, Gate gate, Clock clock
):
    cdef Route route = new_route(handler, kind, gate, clock)
    cdef Stage stage
    cdef list stages = []
    cdef int64_t timeout_ns = 0
    route.form = CONTEXT_MESSAGE if handler.with_context else MESSAGE
    route.call = route.call_async = handler.call
    route.is_async = handler.is_async
    if handler.offload:
        from cqrs_fast.assembly.offload import offloaded

        route.call_async = offloaded(handler.call, handler.with_context)
        route.offloads = True
    for element in reversed(elements + handler.elements):
        if isinstance(element, Around):
            seal(route, stages)
            stages = []
            route = around_route(
                <Around>element, route, new_route(handler, kind, gate, clock)
            )
        else:
            spec = RouteSpec(
                handler.name, handler.message_class, kind, route.is_async, clock
            )
            (<RouteSpec>spec).timeout_ns = timeout_ns
            (<RouteSpec>spec).message_type = handler.message_type
            stage = (<Stage>element).for_route(spec)
            timeout_ns = (<RouteSpec>spec).timeout_ns
            if stage is not None:
                stages.append(stage)
    seal(route, stages)
    return route


cdef Route new_route(Handler handler, str kind, Gate gate, Clock clock):
    cdef Route route = Route.__new__(Route)
    route.name = handler.name
    route.message_class = handler.message_class
    if handler.message_class is not None:
        route.name_is_fixed = name_of_class(handler.message_class) == handler.name
    route.handler = handler.handler
    route.kind = kind
    route.clock = clock
    route.gate = gate
    route.counter = gate.counter_of(handler.name)
    route.in_flight = route.counter.count
    return route


cdef int seal(Route route, list stages) except -1:
    """Lay out a program whose stages were gathered from the innermost."""
    route.stages = tuple(stages[::-1])
    route.lay_out()
    return 0


cdef Route around_route(Around around, Route inner, Route route):
    """Make `around` the handler of `route`, with `inner` behind its next."""
    cdef Next behind = Next.__new__(Next)
    inner.is_inner = True
    behind.route = route.inner = inner
    behind.awaitable = around.is_async or inner.is_async
    route.next = route.next_async = behind.next
    route.offloads = inner.offloads
    route.form = AROUND
    route.call = around.function
    route.is_async = behind.awaitable
    if around.factory:
        make_by_factory(around, route, behind)
    route.call_async = route.call
    route.may_wait = inner.may_wait
    cdef bint awaits = behind.awaitable
    if inner.offloads and not awaits and not around.factory:
        route.next_async = awaitable_next(inner)
        awaits = True
    # A wait inside next() can only block the thread where next() gives no awaitable.
    would_block = (inner.may_wait or inner.offloads) and not awaits
    would_block = would_block and not around.blocking
    route.blocks_loop = would_block or inner.blocks_loop
    route.around = around.function
    route.around_kind = "factory" if around.factory else "around"
    return route


cdef object awaitable_next(Route inner):
    cdef Next behind = Next.__new__(Next)
    behind.route = inner
    behind.awaitable = True
    return behind.next


cdef int make_by_factory(Around around, Route route, Next behind) except -1:
    """Call the factory; whether its product awaits decides what its next gives."""
    from cqrs_fast.base.inspection import handler_form

    made = around.function(route.next)
    if made is None:
        raise TypeError(f"the factory {around.function!r} returned None, no callable")
    form = handler_form(made)
    route.call = form.call
    route.form = CONTEXT_MESSAGE if form.with_context else MESSAGE
    if form.is_async:
        behind.awaitable = route.is_async = True
    return 0


constructed(Handler)
internal(Around)
