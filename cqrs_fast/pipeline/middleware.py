"""How users write middleware in Python: hooks, and the around form's marker."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from cqrs_fast.pipeline.hooks import Call

F = TypeVar("F", bound=Callable[..., Any])

_BLOCKING = "__cqrs_fast_blocking__"


class Middleware:
    """The base of middleware written as hooks; override any of the three.

    Hooks serve sync and async dispatch alike and are plain functions: to await
    something, write an around middleware instead. What a hook raises reaches the
    caller. One object may serve many buses, threads and event loops at once: what
    belongs to one dispatch goes to `call.state`.

    Attributes:
        timed: whether `call.elapsed_ns` is measured, from `before` to `after` or
            `on_error`; only then does the pipeline read the clock for it.
    """

    timed: bool = False

    def before(self, call: Call) -> None:
        """Look at a call on its way in; setting `call.result` stops it here."""

    def after(self, call: Call) -> None:
        """Look at a call that has a result; may replace `call.result`."""

    def on_error(self, call: Call) -> None:
        """Look at a call that failed: a BaseException too.

        May replace an Exception through `call.error`, or recover from it by setting
        `call.result`, None included.
        """


@overload
def middleware(function: F, /) -> F: ...
@overload
def middleware(*, blocking: bool = False) -> Callable[[F], F]: ...


def middleware(function: Any = None, /, *, blocking: bool = False) -> Any:
    """State that a callable `(ctx, message, next)` is an around middleware.

    Parameters:
        blocking: a sync around blocks its thread while a stage inside it waits. With
            True `execute_async` accepts that; otherwise it raises AsyncHandlerError.

    Returns the callable itself. Raises TypeError where it does not take the three
    parameters.
    """
    if function is None:
        return partial(middleware, blocking=blocking)
    from cqrs_fast.base.inspection import is_around

    if not is_around(function):
        raise TypeError(
            f"{function!r} is no around middleware: it must take (ctx, message, next)"
        )
    if blocking:
        try:
            setattr(function, _BLOCKING, True)
        except AttributeError:
            raise TypeError(
                f"blocking=True needs an object with attributes, got {function!r}"
            ) from None
    return function


def is_blocking(function: object) -> bool:
    """Tell whether an around was declared `@middleware(blocking=True)`."""
    return getattr(function, _BLOCKING, False) is True
