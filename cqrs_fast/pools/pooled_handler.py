"""PooledHandler: a handler that uses a separate handler object for each call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cqrs_fast.base.callables import plain_callable
from cqrs_fast.base.inspection import handler_form
from cqrs_fast.context import Context
from cqrs_fast.errors import PoolExhaustedError
from cqrs_fast.pools.pool import ObjectPool
from cqrs_fast.pools.pooled_call import PooledCall, put_name
from cqrs_fast.stats import PoolStats


class PooledHandler:
    """Handle each message with an object of a pool that no other call uses.

    For handlers that are costly to make and serve one call at a time, because they keep
    a buffer, a parser or a connection. The object returns to the pool when the call
    ends: with a result, an error, or a cancellation.

    Parameters:
        factory: makes a handler: an object with a method `handle`, or a callable, of
            (message) or (ctx, message), sync or async. All must have the form of the
            first, which is made at once.
        size: the most objects, and so the most messages handled at once.
        preallocate, reset, max_wait, dispose, clock: as in ObjectPool.

    If all objects are in use, a dispatch is rejected with PoolExhaustedError, or waits
    for at most `max_wait` seconds and the deadline of its context. A sync handler waits
    by blocking its thread. In a thread that runs an event loop, as under
    `execute_async`, it is rejected at once, unless registered with `offload=True`.
    Raises TypeError if `factory` makes no handler. Safe to use from any thread and
    event loop.

    Attributes:
        pool: the ObjectPool.
    """

    def __init__(
        self,
        factory: Callable[[], Any],
        size: int,
        *,
        preallocate: bool = True,
        reset: Callable[[Any], object] | None = None,
        max_wait: float = 0.0,
        dispose: Callable[[Any], object] | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        maker = _Maker(factory)
        self.pool: ObjectPool[Any] = ObjectPool(
            maker,
            size,
            preallocate=preallocate,
            reset=reset,
            max_wait=max_wait,
            dispose=dispose,
            clock=clock,
        )
        call = PooledCall(self.pool)
        assert maker.form is not None
        self._form = form = maker.form
        call.set_form(form.by_method, form.with_context)
        if not form.is_async:
            # Replaces the coroutine function of the class.
            self.handle = call.handle

    def stats(self) -> PoolStats:
        """Return a PoolStats."""
        return self.pool.stats()

    async def _handle_async(self, ctx: Context, message: Any) -> Any:
        """Handle a message; `handle` is a plain method if the objects are sync."""
        try:
            handler = await self.pool.acquire_async(ctx)
        except PoolExhaustedError as error:
            put_name(error, message)
            raise
        try:
            call = handler.handle if self._form.by_method else handler
            if self._form.with_context:
                return await call(ctx, message)
            return await call(message)
        finally:
            self.pool.release(handler)

    handle: Any = _handle_async


class _Form(NamedTuple):
    """How to call the objects of a pool."""

    by_method: bool
    with_context: bool
    is_async: bool


class _Maker:
    """The factory; checks that all handlers have the form of the first."""

    def __init__(self, factory: Callable[[], Any]) -> None:
        self.factory = plain_callable(
            "factory", factory, "await what it needs before the handler is made"
        )
        self.form: _Form | None = None

    def __call__(self) -> Any:
        handler = self.factory()
        if handler is None or hasattr(type(handler), "__await__"):
            return handler  # The pool rejects both, and closes a coroutine.
        call, with_context, is_async = handler_form(handler)
        form = _Form(call is not handler, with_context, is_async)
        if self.form is None:
            self.form = form
        elif form != self.form:
            raise TypeError(
                f"factory must make handlers of one form: {form} is not {self.form}"
            )
        return handler
