"""Run what is sync in a worker thread, under `execute_async`: see `offload=True`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any


def offloaded(call: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return the async twin of a handler or an around; context variables are kept.

    A cancelled caller stops waiting; the thread runs to its end.
    """
    from asyncio import to_thread
    from inspect import isawaitable

    def run(*args: Any) -> tuple[Any, BaseException | None]:
        # As a value: a future cannot carry every exception (StopIteration).
        try:
            return call(*args), None
        except BaseException as error:
            return None, error

    async def in_thread(*args: Any) -> Any:
        result, error = await to_thread(run, *args)
        if error is None:
            return await result if isawaitable(result) else result
        try:
            raise error
        finally:
            # Its traceback holds this frame: break the reference cycle.
            del error

    return in_thread
