"""What `execute_typed` checks of a result, and what it refuses to check."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar

import pytest
from support import Ask

from cqrs_fast import QueryBus, ResultTypeError, execute_typed, execute_typed_async

T = TypeVar("T")


class Box(Generic[T]):
    pass


class Plain(Protocol):
    x: int


def answering(result: Any) -> tuple[QueryBus, list[Any]]:
    seen: list[Any] = []
    bus = QueryBus()

    @bus.handler(Ask)
    def answer(query: Any) -> Any:
        seen.append(query)
        return result

    return bus, seen


@pytest.mark.parametrize(
    ("expected", "right", "wrong", "path"),
    [
        (int, 1, "x", "$"),
        (int | None, None, "x", "$"),
        (list[int], [1], ["x"], "$[0]"),
        (dict[str, int], {"a": 1}, {"a": "x"}, "$[...]"),
        (Mapping[str, list[int]], {"a": [1]}, {"a": ["x"]}, "$[...][0]"),
        (tuple[int, str], (1, "x"), (1, 2), "$[1]"),
        (tuple[int, ...], (1, 2), (1, "x"), "$[1]"),
        (Literal["a"], "a", "b", "$"),
        (Annotated[int, "said"], 1, "x", "$"),
        (Box[Any], Box(), 1, "$"),
        (Callable[..., Any], len, 1, "$"),
        (list[Any], [object()], (), "$"),
    ],
)
def test_a_result_is_checked_to_its_elements(
    expected: Any, right: Any, wrong: Any, path: str
) -> None:
    bus, _ = answering(right)
    assert execute_typed(bus, Ask(), expected) is right
    bus, _ = answering(wrong)
    with pytest.raises(ResultTypeError) as caught:
        asyncio.run(execute_typed_async(bus, Ask(), expected))
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (Box[int], "the arguments of .*Box.int.: write Any for each of them"),
        (Iterable[int], "the arguments of .*Iterable"),
        (list[Box[int]], "the arguments of .*Box"),
        (Callable[[int], str], "the arguments of .*Callable"),
        (type[int], "the arguments of type"),
        (Plain, "cannot check Plain: Instance and class checks"),
        (T, "cannot check ~T: pass a class"),
        ("int", "cannot check 'int': pass a class"),
    ],
)
def test_what_cannot_be_checked_is_refused_before_the_dispatch(
    expected: Any, text: str
) -> None:
    bus, seen = answering(Box())
    with pytest.raises(TypeError, match=text):
        execute_typed(bus, Ask(), expected)
    assert seen == []
