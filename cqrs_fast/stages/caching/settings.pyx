"""CacheSettings: the checked parameters of a CachingMiddleware; immutable."""

cimport cython

from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.policies.core.lru cimport LRU_MOST

import copy as copying

from cqrs_fast.base.arguments import (
    choice, exception_classes, flag, real_number, seconds_or_zero, seconds_to_ns,
    whole_number,
)
from cqrs_fast.base.callables import plain_callable

cdef dict COPIERS = {
    "none": None, "shallow": copying.copy, "deep": copying.deepcopy
}
cdef str INSTEAD = "it is asked on the way into a sync or async dispatch alike"


@cython.final
cdef class CacheSettings:
    """The parameters of CachingMiddleware, checked."""

    def __init__(self, ttl, *, max_size=10000, scope="principal", key=None,
                 condition=None, tags=None, ttl_jitter=0.0, negative_ttl=0.0,
                 negative_on=(), single_flight=True, flight_wait_max=30.0, copy="none",
                 ttl_from="store"):
        self.ttl_ns = seconds_or_zero("ttl", ttl)
        self.max_size = whole_number("max_size", max_size, 1, LRU_MOST)
        self.take_scope(scope)
        self.key = callable_or_none("key", key)
        self.condition = callable_or_none("condition", condition)
        if tags is not None:
            self.tags = plain_callable("tags", tags, INSTEAD, yields=True)
        self.jitter = real_number("ttl_jitter", ttl_jitter, 0.0, 1.0)
        self.negative_ttl_ns = seconds_or_zero("negative_ttl", negative_ttl)
        self.negative_on = exception_classes("negative_on", negative_on)
        self.single_flight = flag("single_flight", single_flight)
        self.wait_ns = seconds_to_ns("flight_wait_max", flight_wait_max)
        if isinstance(copy, str) or not callable(copy):
            self.copier = COPIERS[choice("copy", copy, tuple(COPIERS))]
        else:
            self.copier = plain_callable("copy", copy, INSTEAD)
        self.from_start = choice("ttl_from", ttl_from, ("store", "start")) == "start"
        self.plain = (
            self.key is None
            and self.condition is None
            and self.scope is None
            and self.copier is None
        )
        self.given = {
            "ttl": ttl,
            "max_size": max_size,
            "scope": scope,
            "key": key,
            "condition": condition,
            "tags": tags,
            "ttl_jitter": ttl_jitter,
            "negative_ttl": negative_ttl,
            "negative_on": self.negative_on,
            "single_flight": single_flight,
            "flight_wait_max": flight_wait_max,
            "copy": copy,
            "ttl_from": ttl_from,
        }

    cdef int take_scope(self, object scope) except -1:
        if isinstance(scope, str) or not callable(scope):
            named = choice("scope", scope, ("principal", "shared"))
            self.scope_kind = SHARED if named == "shared" else BY_PRINCIPAL
            return 0
        self.scope_kind = CALLED
        self.scope = plain_callable("scope", scope, INSTEAD)
        return 0


def class_ttl(cls):
    """Return what a class says by `cache_ttl`, in nanoseconds; None for nothing."""
    given = getattr(cls, "cache_ttl", None)
    if given is None or hasattr(type(given), "__get__"):     # a field of that name
        return None
    try:
        return seconds_or_zero("cache_ttl", given)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{cls.__qualname__}: {error}") from None


cdef object callable_or_none(str argument, object function):
    return None if function is None else plain_callable(argument, function, INSTEAD)


constructed(CacheSettings)
