"""Dispatch many messages on an event loop, in sequence or in a few tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cqrs_fast.buses.bus import Bus
    from cqrs_fast.context import Context


async def in_sequence(
    bus: Bus, messages: Iterable[Any], ctx: Context | None, return_exceptions: bool
) -> list[Any]:
    """Dispatch one after another, without a Task."""
    results: list[Any] = []
    for message in messages:
        try:
            results.append(await bus.execute_async(message, ctx))
        except Exception as error:
            if not return_exceptions:
                raise
            results.append(error)
    return results


async def in_tasks(
    bus: Bus,
    messages: Iterable[Any],
    ctx: Context | None,
    return_exceptions: bool,
    concurrency: int,
) -> list[Any]:
    """Dispatch in up to `concurrency` Tasks; the first error cancels the others.

    Each Task takes its next message from the iterable when it has finished one.
    """
    import asyncio

    results: list[Any] = []
    remaining = iter(messages)

    async def work() -> None:
        for message in remaining:
            index = len(results)
            results.append(None)
            try:
                results[index] = await bus.execute_async(message, ctx)
            except Exception as error:
                if not return_exceptions:
                    raise
                results[index] = error

    if isinstance(messages, Sized):
        concurrency = min(concurrency, len(messages))
    tasks = [asyncio.ensure_future(work()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    return results
