"""Look into a route."""

from cqrs_fast.pipeline.route cimport Route
from cqrs_fast.pipeline.stage cimport Stage

from cqrs_fast.stages.catalog import row_of


cdef object describe_route(Route outermost):
    from cqrs_fast.assembly.description import RouteInfo, StageInfo
    from cqrs_fast.base.naming import label_of

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


cdef bint has_retry(Route outermost) except -1:
    cdef Route route = outermost
    while route is not None:
        for stage in route.stages:
            if row_of(type(stage).__name__).repeats:
                return True
        route = route.inner
    return False


cdef tuple order_of(Route outermost):
    cdef Route route = outermost
    found = []
    while route is not None:
        found.extend(map(type, route.stages))
        route = route.inner
    return tuple(found)
