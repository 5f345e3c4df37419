"""The views of an LRUCache; iterating over them does not count as use."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, ValuesView
from typing import Any, Protocol, TypeVar, cast

_K = TypeVar("_K")
_V = TypeVar("_V")
_MISSING = object()


class _Cache(Protocol):
    def _snapshot(self, pairs: bool) -> list[Any]: ...
    def peek(self, key: Any, default: Any) -> Any: ...


class CacheValues(ValuesView[_V]):
    """The values, the least recently used first."""

    __slots__ = ()
    _mapping: _Cache

    def __iter__(self) -> Iterator[_V]:
        return iter(self._mapping._snapshot(False))

    def __contains__(self, value: object) -> bool:
        return value in self._mapping._snapshot(False)


class CacheItems(ItemsView[_K, _V]):
    """The pairs of key and value, the least recently used first."""

    __slots__ = ()
    _mapping: _Cache

    def __iter__(self) -> Iterator[tuple[_K, _V]]:
        return iter(self._mapping._snapshot(True))

    def __contains__(self, item: object) -> bool:
        key, value = cast("tuple[Any, Any]", item)  # what is no pair raises
        found = self._mapping.peek(key, _MISSING)
        return found is not _MISSING and (found is value or found == value)
