"""Build routes: a list of middleware and a handler become one flat program.

The list is read from the handler outwards. Consecutive stages form one program. An
around ends it: the program becomes the route that the around's `next` calls, and the
around becomes the handler of the next program outwards.
"""

cimport cython
from libc.stdint cimport int64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.pipeline.async_generators cimport AsyncGeneratorStage
from cqrs_fast.pipeline.gate cimport Gate
from cqrs_fast.pipeline.generators cimport GeneratorStage
from cqrs_fast.pipeline.hooks cimport HookStage
from cqrs_fast.pipeline.next cimport Next
from cqrs_fast.pipeline.route cimport AROUND, CONTEXT_MESSAGE, MESSAGE, Route
from cqrs_fast.pipeline.stage cimport RouteSpec, Stage

from cqrs_fast.assembly.offload import offloaded
from cqrs_fast.base.arguments import listed
from cqrs_fast.base.message_names import class_meant, name_of_class
from cqrs_fast.base.naming import label_of
from cqrs_fast.pipeline.middleware import (
    Middleware, check_hooks, is_blocking, returns_awaitable,
)
from cqrs_fast.stages.catalog import row_of


@cython.final
cdef class Around:
    """A middleware function (ctx, message, next); it splits the program in two."""


@cython.final
cdef class Handler:
    """A registered handler, and how to call it."""

    def __init__(self, str name not None, message_type, handler, middleware=(), *,
                 is_async=None, with_context=None, offload=None, offloads=False):
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
        # What the bus or `register` says is for those that it makes sense for.
        self.offload = offloads and not form.is_async if offload is None else offload
        self.middleware = listed(middleware)
        self.elements = prepare_all(self.middleware)


cdef object prepare(object middleware):
    from cqrs_fast.base.middleware_forms import (
        ASYNC_GENERATOR,
        FACTORY,
        GENERATOR,
        middleware_form,
    )
    from cqrs_fast.base.promises import is_coroutine_function

    if isinstance(middleware, Stage):
        return middleware
    if isinstance(middleware, Middleware):
        check_hooks(middleware)
        return HookStage(middleware)
    if isinstance(middleware, type) and issubclass(middleware, (Middleware, Stage)):
        raise TypeError(
            f"{middleware.__name__} is a class: pass {middleware.__name__}()"
        )
    form = middleware_form(middleware)
    if form == GENERATOR:
        return GeneratorStage(middleware)
    if form == ASYNC_GENERATOR:
        return AsyncGeneratorStage(middleware)
    cdef Around around = Around.__new__(Around)
    around.function = middleware
    around.factory = form == FACTORY
    around.is_async = not around.factory and is_coroutine_function(middleware)
    around.blocking = is_blocking(middleware)
    around.returns_awaitable = returns_awaitable(middleware)
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
        route.call_async = offloaded(handler.call)
        route.offloads = True
    if kind == "command" and getattr(handler.message_class, "invalidates", None):
        from cqrs_fast.stages.caching.invalidates import stage_for

        stages.append(stage_for(handler.message_class))
    for element in reversed(elements + handler.elements):
        if isinstance(element, Around):
            if not is_sync_around(<Around>element):
                route = into_thread(route, stages, handler)
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
                if stage.awaits:
                    route = into_thread(route, stages, handler)
                    route.is_async = True
                stages.append(stage)
    route = into_thread(route, stages, handler)
    seal(route, stages)
    return route


cdef Route into_thread(Route route, list stages, Handler handler):
    """Run the sync generators over an offloaded handler in its thread, as arounds do.

    Returns the route for the stages further out, which are left in the list.
    """
    cdef int index, outermost = 0
    for index, stage in enumerate(stages, 1):
        if type(stage) is GeneratorStage:
            outermost = index
    if outermost == 0 or not route.offloads or route.is_async:
        return route
    seal(route, stages[:outermost])
    del stages[:outermost]
    cdef Route outer = new_route(handler, route.kind, route.gate, route.clock)
    around_route(IN_THREAD, route, outer)
    outer.around = None     # of nobody's
    return outer


cdef bint is_sync_around(Around around) noexcept:
    return not around.is_async and not around.factory


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
    """Make `around` the handler of `route`, with `inner` behind its next."""
    cdef Next behind = Next.__new__(Next)
    cdef bint is_async = around.is_async
    inner.is_inner = True
    behind.route = route.inner = inner
    behind.awaitable = is_async or inner.is_async
    route.next = behind.next
    route.form = AROUND
    route.call = around.function
    if around.factory:
        is_async = make_by_factory(around, route, behind)
    route.is_async = behind.awaitable
    route.call_async = route.call
    route.may_wait = inner.may_wait
    route.around = around.function
    route.around_kind = "factory" if around.factory else "around"
    if is_async or inner.is_async:
        route.why_not_async = inner.why_not_async
    if not is_async and inner.offloads and not inner.is_async:
        # All of it is sync: it runs in the thread of its handler, and waits there.
        route.call_async = offloaded(route.call)
        route.offloads = True
    else:
        route.why_not_async = why_not_async(around, is_async, route)
    return route


def pass_on(context, message, next):
    """The around that only puts what is inside into a thread."""
    return next(context, message)


cdef Around IN_THREAD = prepare(pass_on)


cdef tuple why_not_async(Around around, bint is_async, Route route):
    """Why execute_async refuses the route of an around, or None."""
    cdef Route inner = route.inner
    if is_async or inner.why_not_async is not None:
        return inner.why_not_async
    if inner.is_async and not around.returns_awaitable:
        return ends_first(around, route)
    if inner.may_wait and not inner.is_async and not around.blocking:
        return would_block(route)
    return None


cdef tuple ends_first(Around around, Route route):
    """Why a sync one over something async is refused: its way out would come first."""
    parameters = "(next)" if around.factory else "(ctx, message, next)"
    return (
        f"what lies inside the sync {route.around_kind} {label_of(route.around)} is "
        f"async, and the {route.around_kind} would end before it has run",
        "write a generator (ctx, message) under @middleware, with `yield` in the place "
        "of next, which is right for both; or make it async and await next; or, where "
        f"it only returns what next returned, declare the {parameters} callable "
        "@middleware(returns_awaitable=True)",
    )


cdef tuple would_block(Route route):
    return (
        f"a stage inside the sync {route.around_kind} {label_of(route.around)} may "
        "wait, which would block the event loop",
        "write a generator (ctx, message) under @middleware, make it async, or declare "
        "it @middleware(blocking=True)",
    )


cdef bint make_by_factory(Around around, Route route, Next behind) except -1:
    """Call the factory; whether its product awaits decides what its next gives."""
    from cqrs_fast.base.inspection import handler_form

    made = around.function(route.next)
    if made is None:
        raise TypeError(f"the factory {around.function!r} returned None, no callable")
    form = handler_form(made)
    route.call = form.call
    route.form = CONTEXT_MESSAGE if form.with_context else MESSAGE
    behind.awaitable |= form.is_async
    return form.is_async


cdef object describe_route(Route outermost):
    from cqrs_fast.assembly.description import RouteInfo, StageInfo
    cdef Route route = outermost
    cdef Stage stage
    cdef bint offloads = False
    stages = []
    while route is not None:
        for stage in route.stages:
            stages.append(StageInfo(*stage.described()))
        if route.around is not None:
            settings = {"function": label_of(route.around)}
            stages.append(StageInfo(route.around_kind, settings))
        offloads |= route.offloads
        route = route.inner
    handler = label_of(outermost.handler)
    refusal = outermost.why_not_async
    return RouteInfo(
        outermost.name,
        handler,
        outermost.is_async,
        stages,
        offloads,
        None if refusal is None else "; ".join(refusal),
    )


cdef list stage_classes(Route outermost):
    cdef Route route = outermost
    cdef list found = []
    while route is not None:
        found.extend(map(type, route.stages))
        route = route.inner
    return found


cdef bint has_retry(list classes) except -1:
    for cls in classes:
        if row_of(cls.__name__).repeats:
            return True
    return False


constructed(Handler)
internal(Around)
