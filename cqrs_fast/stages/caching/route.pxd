"""CachedRoute: what a CachingMiddleware does in one route."""

from libc.stdint cimport uint32_t

from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.stage cimport RouteSpec, Stage
from cqrs_fast.stages.caching.core cimport CacheCore
from cqrs_fast.stages.caching.loads cimport Load
from cqrs_fast.stages.caching.settings cimport CacheSettings
from cqrs_fast.validation.key_plan cimport KeyPlan


cdef class CachedRoute(Stage):
    cdef readonly Stage owner                # the middleware, which describes it
    cdef CacheCore core
    cdef object route               # its Route; None outside of a bus
    cdef object __weakref__
    cdef KeyPlan plan               # of the class below
    cdef object message_class       # `object` until a route by name is used

    cdef int follow(self, object cls) except -1
    # Let the clock be read again after users' code, if these settings have some.
    cdef int look_for_user_code(self, CacheSettings config) except -1
    cdef bint has_time(self, Frame *f) noexcept
    # The steps of a dispatch; each returns a Verdict.
    cdef int look_up(self, Frame *f) except -1
    cdef int bypass(self, Frame *f) except -1
    cdef int hit(self, Frame *f, CacheSettings config, uint32_t id) except -1
    cdef int miss(self, Frame *f, Load load) except -1
    cdef bint tag(self, Frame *f, Load load) except -1
    cdef int go_on(self, Frame *f) except -1
    cdef int take(self, Frame *f, Load load) except -1
    cdef int report(self, Frame *f, object error) except -1
    # On the way out.
    cdef object store(self, Frame *f, Load load, object value)
    cdef int store_error(self, Frame *f, Load load, object error) except -1


# The stage for a route; None where its class is not to be cached. The settings say
# whether it may wait.
cdef Stage cached_route(
    Stage owner, CacheCore core, CacheSettings config, RouteSpec spec
)
