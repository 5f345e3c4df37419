"""Run a sync handler in a worker thread, for `register_handler(…, offload=True)`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any


def offloaded(
    handler: Callable[..., Any], with_context: bool
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return the async twin of `handler`; context variables are kept.

    A cancelled caller stops to wait; the thread itself runs to its end.
    """
    from asyncio import to_thread

    def run(*args: Any) -> tuple[Any, BaseException | None]:
        # As a value: a future cannot carry every exception (StopIteration).
        try:
            return handler(*args), None
        except BaseException as error:
            return None, error

    async def with_message(message: object) -> Any:
        result, error = await to_thread(run, message)
        if error is not None:
            raise error
        return result

    async def with_both(context: object, message: object) -> Any:
        result, error = await to_thread(run, context, message)
        if error is not None:
            raise error
        return result

    return with_both if with_context else with_message
