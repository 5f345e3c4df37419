"""Caches, each around one function, as the questions use it."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

import cqrs_fast
from benchmarks.rivals.isolation import OURS, STANDARD_LIBRARY

TTL = 600
Load = Callable[[Any], Any]

user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


class Get(cqrs_fast.Query[Any]):
    key: Any


class Cache:
    """A cache as the questions use it, around one function of one key.

    Parameters:
        load: what is asked where nothing is cached; a coroutine function for those
            caches that are asked with `await`.
    """

    distribution: ClassVar[str]
    what: ClassVar[str]

    get: Callable[[Any], Any]
    invalidate: Callable[[Any], Any]

    def __init__(self, load: Load) -> None:
        raise NotImplementedError


class Ours(Cache):
    distribution = OURS
    what = "CachingMiddleware"

    def __init__(self, load: Load) -> None:
        self.cache = cqrs_fast.CachingMiddleware(TTL)
        self.bus = cqrs_fast.QueryBus(middleware=[self.cache])
        self.bus.register_handler(Get, lambda query: load(query.key))

    def get(self, key: Any) -> Any:
        return self.bus.execute(Get(key), self.context())

    def invalidate(self, key: Any) -> None:
        self.cache.invalidate(Get(key))

    @staticmethod
    def context() -> cqrs_fast.Context:
        return cqrs_fast.Context.background().with_principal(user.get())


class OursAsync(Ours):
    def __init__(self, load: Load) -> None:
        async def handle(query: Get) -> Any:
            return await load(query.key)

        super().__init__(load)
        self.bus.register_handler(Get, handle, replace=True)

    async def get(self, key: Any) -> Any:
        return await self.bus.execute_async(Get(key), self.context())


class LruCache(Cache):
    distribution = STANDARD_LIBRARY
    what = "lru_cache"

    def __init__(self, load: Load) -> None:
        cached = lru_cache(load)
        self.get = cached
        self.invalidate = lambda key: cached.cache_clear()


class CacheTools(Cache):
    distribution = "cachetools"
    what = "cached(lock=)"
    guards: ClassVar[dict[str, Callable[[], Any]]] = {"lock": threading.Lock}

    def __init__(self, load: Load) -> None:
        import cachetools

        guards = {name: make() for name, make in self.guards.items()}
        cached = cachetools.cached(cachetools.TTLCache(10_000, TTL), **guards)(load)
        self.get = cached
        self.invalidate = lambda key: cached.cache_clear()


class CacheToolsCondition(CacheTools):
    what = "cached(condition=)"
    guards: ClassVar[dict[str, Callable[[], Any]]] = {"condition": threading.Condition}


class CacheBox(Cache):
    distribution = "cachebox"
    what = "cached"

    def __init__(self, load: Load) -> None:
        import cachebox

        cached: Any = cachebox.cached(cachebox.TTLCache(10_000, TTL))(load)
        self.get = cached
        self.invalidate = lambda key: cached.cache_clear()


class PyResilience(Cache):
    distribution = "pyresilience"
    what = "resilient(cache=)"

    def __init__(self, load: Load) -> None:
        import pyresilience

        config = pyresilience.CacheConfig(max_size=10_000, ttl=TTL)
        self.get = pyresilience.resilient(cache=config)(load)


class AsyncLru(Cache):
    distribution = "async-lru"
    what = "alru_cache"

    def __init__(self, load: Load) -> None:
        import async_lru

        self.get = async_lru.alru_cache(load)


class AioCache(Cache):
    distribution = "aiocache"
    what = "cached"

    def __init__(self, load: Load) -> None:
        import aiocache

        self.get = getattr(aiocache, self.what)(ttl=TTL)(load)


class AioCacheStampede(AioCache):
    what = "cached_stampede"


SYNC = (Ours, LruCache, CacheTools, CacheToolsCondition, CacheBox, PyResilience)
ASYNC = (OursAsync, AsyncLru, AioCache, AioCacheStampede, CacheBox, PyResilience)
INVALIDATED = (Ours, LruCache, CacheTools, CacheToolsCondition, CacheBox)
