"""Build routes: a list of middleware and a handler become one flat program.

The list is read from the handler outwards. Consecutive stages form one program. An
around ends it: the program becomes the route that the around's `next` calls, and the
around becomes the handler of the next program outwards.
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
    """A middleware function (ctx, message, next); it splits the program in two."""


@cython.final
cdef class Handler:
    """A registered handler, and how to call it."""

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
    from cqrs_fast.base.inspection import MIDDLEWARE_FORMS, is_around, is_factory
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
    if isinstance(middleware, type) and issubclass(middleware, (Middleware, Stage)):
        raise TypeError(
            f"{middleware.__name__} is a class: pass {middleware.__name__}()"
        )
    cdef Around around = Around.__new__(Around)
    around.function = middleware
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
    cdef RouteSpec spec
    cdef Stage stage
    cdef list stages = []
    cdef int64_t timeout_ns = 0
    route.form = CONTEXT_MESSAGE if handler.with_context else MESSAGE
    route.call = route.call_async = handler.call
    route.is_async = handler.is_async
    if handler.offload:
        from cqrs_fast.assembly.offload import offloaded

        route.call_async = offloaded(handler.call)
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
            spec.timeout_ns = timeout_ns
            spec.message_type = handler.message_type
            spec.route = route
            stage = (<Stage>element).for_route(spec)
            timeout_ns = spec.timeout_ns
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
    """Lay out a program; `stages` begins with the innermost."""
    route.stages = tuple(stages[::-1])
    route.lay_out()
    return 0


cdef Route around_route(Around around, Route inner, Route route):
    """Make `around` the handler of `route`; its `next` calls `inner`."""
    cdef Next behind = new_next(inner, around.is_async or inner.is_async)
    inner.is_inner = True
    route.inner = inner
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
        route.next_async = new_next(inner, True).next
        awaits = True
    # A wait inside next() blocks the thread unless next() returns an awaitable.
    would_block = (inner.may_wait or inner.offloads) and not awaits
    would_block = would_block and not around.blocking
    route.blocks_loop = would_block or inner.blocks_loop
    route.around = around.function
    route.around_kind = "factory" if around.factory else "around"
    return route


cdef Next new_next(Route inner, bint awaitable):
    cdef Next behind = Next.__new__(Next)
    behind.route = inner
    behind.awaitable = awaitable
    return behind


cdef int make_by_factory(Around around, Route route, Next behind) except -1:
    """Call the factory; its `next` is awaitable if the result is async."""
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


cdef object describe_route(Route outermost):
    from cqrs_fast.assembly.description import RouteInfo, StageInfo
    from cqrs_fast.base.naming import label_of

    cdef Route route = outermost
    cdef Stage stage
    stages = []
    while route is not None:
        for stage in route.stages:
            stages.append(StageInfo(*stage.described()))
        if route.around is not None:
            settings = {"function": label_of(route.around)}
            stages.append(StageInfo(route.around_kind, settings))
        route = route.inner
    handler = label_of(outermost.handler)
    return RouteInfo(outermost.name, handler, outermost.is_async, stages)


cdef list stage_classes(Route outermost):
    cdef Route route = outermost
    cdef list found = []
    while route is not None:
        found.extend(map(type, route.stages))
        route = route.inner
    return found


constructed(Handler)
internal(Around)
