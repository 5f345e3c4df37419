"""Contents: what of the middleware of a bus can be found through its registry."""

from cqrs_fast.assembly.builder cimport Handler
from cqrs_fast.assembly.registry cimport Registry
from cqrs_fast.pipeline.route cimport Route
from cqrs_fast.pipeline.stage cimport Stage

from operator import attrgetter

from cqrs_fast.stats import MiddlewareStats


cdef object owner_of = attrgetter("owner")


cdef dict listed(Registry registry):
    """Return the middleware of a bus and of its handlers, by identity."""
    cdef Handler handler
    found = {id(one): one for one in registry.middleware}
    for handler in registry.handlers.values():
        found.update({id(one): one for one in handler.middleware})
    if registry.wiring is not None:
        own = registry.wiring.stages_beside(registry.handlers, registry.middleware)
        found.update({id(one): one for one in own})
    return found


cdef list middleware_stats(Registry registry):
    cdef Stage stage
    cdef list reported = []
    for one in listed(registry).values():
        if isinstance(one, Stage):
            stage = one
            stats = stage.observed()
            if stats is not None:
                name = type(stage).__name__
                reported.append(MiddlewareStats(name, stats))
    return reported


cdef list caches_of(Registry registry):
    from cqrs_fast.stages.caching.middleware import CachingMiddleware
    from cqrs_fast.stages.caching.route import CachedRoute

    cdef Route route
    cdef list caches = []
    cdef dict found = listed(registry)
    for route in registry.routes.values():
        while route is not None:
            for stage in route.stages:
                if isinstance(stage, CachedRoute):
                    owner = owner_of(stage)
                    found[id(owner)] = owner
            route = route.inner
    for one in found.values():
        if isinstance(one, CachingMiddleware):
            caches.append(one)
    return caches
