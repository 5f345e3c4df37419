"""Invalidation: what caches forget, in this process, when a command has changed it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakSet

import msgspec

from cqrs_fast.base.callables import plain_callable
from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.base.message_names import class_meant, message_kind
from cqrs_fast.context import Context

_INSTEAD = "put the Invalidation into a queue that an async task empties"


class Tag(msgspec.Struct, frozen=True):
    """A tag in what `invalidates()` of a command returns.

    Parameters:
        value: one of the values that `tags` of a CachingMiddleware returns.
    """

    value: Any

    def __repr__(self) -> str:
        return f"Tag({self.value!r})"


class Invalidation(msgspec.Struct, frozen=True):
    """What is forgotten, for `queries.cache.on_invalidate`.

    Attributes:
        queries: each of them, in every scope.
        classes: all queries of these classes and their subclasses; `object` is all.
        tags: the values of tags, as `invalidate_tags` takes them.
    """

    queries: tuple[Any, ...] = ()
    classes: tuple[type, ...] = ()
    tags: tuple[Any, ...] = ()


# Every CachingMiddleware that is in a pipeline, and every view with a callback.
caches: WeakSet[Any] = WeakSet()
views: WeakSet[CacheView] = WeakSet()


def forget(what: Invalidation, among: Iterable[Any]) -> None:
    """Forget in each of some CachingMiddleware objects."""
    for cache in among:
        for query in what.queries:
            cache.invalidate(query)
        for cls in what.classes:
            cache.invalidate_type(cls)
        if what.tags:
            cache.invalidate_tags(*what.tags)


def forget_everywhere(what: Invalidation) -> None:
    """Forget in all caches of the process, then notify the callbacks of all views."""
    forget(what, list(caches))
    for view in list(views):
        view.notify(what)


class CacheView:
    """All caches of one query bus as one: `queries.cache`.

    It follows the bus: a cache that is added later belongs to it. Each method also
    keeps what is being computed now from being stored. Safe from any thread and loop.
    """

    def __init__(self, find: Callable[[], Iterable[Any]]) -> None:
        self._find = find
        self._callbacks: tuple[Callable[[Invalidation], object], ...] = ()

    def invalidate(self, query: object, ctx: Context | None = None) -> None:
        """Forget what is stored for a query: in every scope, or in that of `ctx` alone.

        Callbacks hear of the query without its scope. Raises TypeError for a class and
        for a `ctx` that is no Context, and what the cache's `key` raises.
        """
        if isinstance(query, type):
            raise TypeError(
                f"query must be a query, got the class {query.__name__}: write "
                f"invalidate_type({query.__name__})"
            )
        if ctx is not None and not isinstance(ctx, Context):
            raise TypeError(f"ctx must be a Context or None, got {type(ctx).__name__}")
        for cache in self._find():
            cache.invalidate(query, ctx)
        self.notify(Invalidation(queries=(query,)))

    def invalidate_type(self, cls: type) -> None:
        """Forget all queries of a class and its subclasses, or raise TypeError."""
        if not isinstance(cls, type):
            raise TypeError(f"invalidate_type takes a class, got {type(cls).__name__}")
        self._forget(Invalidation(classes=(cls,)))

    def invalidate_tags(self, *tags: object) -> None:
        """Forget what was stored under at least one of the tags."""
        self._forget(Invalidation(tags=tags))

    def clear(self) -> None:
        """Forget everything; callbacks hear of the class `object`."""
        for cache in self._find():
            cache.clear()
        self.notify(Invalidation(classes=(object,)))

    def on_invalidate(self, callback: Callable[[Invalidation], object]) -> None:
        """Call `callback(invalidation)` after each of these, and after a command's.

        So other processes can be told. It is called in the thread that invalidates; a
        command's `invalidates` may be reported more than once. What it raises is logged
        and changes nothing. Raises TypeError unless it is a callable that is not async.
        """
        plain_callable("callback", callback, _INSTEAD)
        self._callbacks = (*self._callbacks, callback)
        views.add(self)

    def notify(self, what: Invalidation) -> None:
        for callback in self._callbacks:
            try:
                callback(what)
            except Exception as error:
                report_callback_error("on_invalidate", "a query bus", error)

    def _forget(self, what: Invalidation) -> None:
        forget(what, self._find())
        self.notify(what)


# What a command says


def check_declared(cls: type) -> None:
    """Raise TypeError if `cls.invalidates` can be known to be wrong already."""
    declared = cls.__dict__.get("invalidates", getattr(cls, "invalidates", None))
    name = f"{cls.__qualname__}.invalidates"
    if callable(declared) and not isinstance(declared, type):
        return
    if isinstance(declared, type):
        raise TypeError(
            f"{name} must be a tuple of query classes: ({declared.__name__},)"
        )
    if not isinstance(declared, tuple):
        raise TypeError(
            f"{name} must be a ClassVar with a tuple of query classes, or a method, "
            f"got {declared!r}"
        )
    for one in declared:
        if class_meant(one) is None:
            raise TypeError(
                f"{name} must have query classes only, got {one!r}: write a method "
                "that returns queries and tags"
            )
        _check_kind(name, one)


def _check_kind(name: str, cls: Any) -> None:
    kind = message_kind(cls)
    if kind not in (None, "query") or cls.__module__ == "builtins":
        raise TypeError(f"{name} must name queries, got {cls.__qualname__}")


def declared_by(command: Any) -> Invalidation:
    """Return what a command says; TypeError for what makes no sense."""
    cls = type(command)
    declared = command.invalidates
    if not callable(declared):
        return Invalidation(classes=declared)
    name = f"{cls.__qualname__}.invalidates()"
    found: dict[str, list[Any]] = {"queries": [], "classes": [], "tags": []}
    returned = declared()
    if isinstance(returned, str) or not isinstance(returned, Iterable):
        raise TypeError(
            f"{name} must return queries, classes and tags, got a "
            f"{type(returned).__name__}"
        )
    for one in returned:
        if isinstance(one, Tag):
            found["tags"].append(one.value)
        elif isinstance(one, type):
            _check_kind(name, one)
            found["classes"].append(one)
        else:
            _check_kind(name, type(one))
            found["queries"].append(one)
    return Invalidation(**{kind: tuple(ones) for kind, ones in found.items()})


class Forgetting:
    """What one command invalidates, done at the end of each dispatch it is in."""

    __slots__ = ("command", "name", "what")

    def __init__(self, command: Any, name: str) -> None:
        self.command, self.name = command, name
        self.what: Invalidation | None = None

    def __call__(self) -> None:
        try:
            if self.what is None:
                self.what = Invalidation()
                self.what = declared_by(self.command)
            if self.what != Invalidation():
                forget_everywhere(self.what)
        except Exception as error:
            report_callback_error("invalidates", self.name, error)
