"""Row 11: what is no Exception passes every middleware as it is, and uncounted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from reliability.parts import (
    DEFAULT_ORDER,
    MAKERS,
    PIPELINES,
    Put,
    assert_at_rest,
    bus_of,
    message_for,
)
from support import TRANSPARENT
from virtual_time import run_virtual

from cqrs_fast import Context


def call_sync(bus: Any, message: Any) -> Any:
    return bus.execute(message)


def call_async(bus: Any, message: Any) -> Any:
    async def main() -> BaseException | None:
        # Not out of the task: asyncio treats some of them in its own way.
        try:
            await bus.execute_async(message)
        except BaseException as error:
            return error
        return None

    error = run_virtual(main)
    if error is not None:
        raise error


def sync_form(body: Callable[[], int]) -> Any:
    return lambda ctx, message: body()


def ready_form(body: Callable[[], int]) -> Any:
    async def handle(ctx: Context, message: Any) -> int:
        return body()

    return handle


def suspending_form(body: Callable[[], int]) -> Any:
    async def handle(ctx: Context, message: Any) -> int:
        await asyncio.sleep(0.001)
        return body()

    return handle


WAYS = {
    "sync": (sync_form, call_sync),
    "sync handler, awaited": (sync_form, call_async),
    "ready": (ready_form, call_async),
    "suspending": (suspending_form, call_async),
}


@pytest.mark.parametrize("kind", TRANSPARENT)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PIPELINES)
def test_it_passes_as_the_same_object_and_counts_as_cancelled(
    name: str, way: str, kind: type[BaseException]
) -> None:
    """Row 11: five types, every middleware, sync and async."""
    names = PIPELINES[name]
    message = message_for(names)
    raised = kind("x")
    runs: list[int] = []

    def body() -> int:
        runs.append(1)
        if len(runs) == 1:
            raise raised
        return 5

    form, call = WAYS[way]
    middleware = [MAKERS[each]() for each in names]
    bus = bus_of(middleware, message, form(body))
    try:
        call(bus, message(1))
    except BaseException as error:
        caught = error
    assert caught is raised
    assert caught.__cause__ is None
    assert not getattr(caught, "__notes__", None)
    # Neither retried nor answered by a fallback; nothing is held.
    assert runs == [1]
    assert_at_rest(bus)
    outcomes = bus.stats().messages[message.__name__].outcomes
    assert {key: count for key, count in outcomes.items() if count} == {"cancelled": 1}
    assert bus.stats().total.retries == 0
    # Not stored, and no breaker of threshold 1 has opened: the next call runs.
    answers: list[Any] = []

    async def again() -> None:
        answers.append(await bus.execute_async(message(1)))

    if call is call_sync:
        answers.append(bus.execute(message(1)))
    else:
        run_virtual(again)
    assert answers == [5]
    assert runs == [1, 1]
    assert bus.close(0).drained


def test_every_middleware_of_the_default_order_is_in_the_matrix() -> None:
    assert set(DEFAULT_ORDER) <= set(MAKERS)
    assert message_for(("idempotency",)) is Put
