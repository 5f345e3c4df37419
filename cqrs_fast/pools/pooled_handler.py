"""PooledHandler: a handler whose calls each have a handler object of their own."""

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
    """Handle each message with an object of a pool, which nobody else is in meanwhile.

    For handlers that are costly to make and serve one call at a time, because they keep
    a buffer, a parser or a connection. The object goes back to the pool however a call
    ends: with a result, an error, or a cancellation.

    Parameters:
        factory: makes a handler: an object with a method `handle`, or a callable, of
            (message) or (ctx, message), sync or async. All it makes must have the form
            of the first, which is made at once in any case.
        size: how many there may be, and so how many messages are handled at once.
        preallocate, reset, max_wait, dispose, clock: as those of ObjectPool.

    Where all are in use a dispatch is refused with PoolExhaustedError, or waits for at
    most `max_wait` seconds, bounded by the deadline of its context. A sync handler
    waits by blocking its thread, so it does not wait where that runs an event loop, as
    under `execute_async`: there it is refused at once, unless it is registered with
    `offload=True`. Raises TypeError for what is no handler. Safe to use from any thread
    and event loop.

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
        self._form = form = maker.form
        call.set_form(form.by_method, form.with_context)
        if not form.is_async:
            # In the place of the coroutine function that the class has.
            self.handle = call.handle

    def stats(self) -> PoolStats:
        """Return the PoolStats of now."""
        return self.pool.stats()

    async def _handle_async(self, ctx: Context, message: Any) -> Any:
        """Handle a message; a plain method if that of the objects is one."""
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
    """How the objects of a pool are called."""

    by_method: bool
    with_context: bool
    is_async: bool


class _Maker:
    """The factory, which sees to it that all handlers have the form of the first."""

    def __init__(self, factory: Callable[[], Any]) -> None:
        self.factory = plain_callable(
            "factory", factory, "await what it needs before the handler is made"
        )
        self.first: _Form | None = None

    def __call__(self) -> Any:
        handler = self.factory()
        if handler is None or hasattr(type(handler), "__await__"):
            return handler  # The pool refuses both, and puts a coroutine to rest.
        call, with_context, is_async = handler_form(handler)
        form = _Form(call is not handler, with_context, is_async)
        if self.first is None:
            self.first = form
        elif form != self.first:
            raise TypeError(
                f"factory must make handlers of one form: {form} is not {self.first}"
            )
        return handler

    @property
    def form(self) -> _Form:
        """That of the first handler, which is made by now."""
        assert self.first is not None
        return self.first
