"""How users write middleware in Python: hooks, and the marker of the other forms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from cqrs_fast.pipeline.hooks import Call

F = TypeVar("F", bound=Callable[..., Any])

_BLOCKING = "__cqrs_fast_blocking__"
_RETURNS_AWAITABLE = "__cqrs_fast_returns_awaitable__"

HOOKS = ("before", "after", "on_error")
_NAMED = "before, after and on_error"
# What is called so looks as if it were called by the pipeline.
_LIKE_HOOKS = ("on_", "before", "after")


class Middleware:
    """The base of middleware written as hooks; override any of the three.

    Hooks serve sync and async dispatch alike and are plain functions: to await
    something, write an async generator instead. What a hook raises reaches the
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
def middleware(
    *, blocking: bool = False, returns_awaitable: bool = False
) -> Callable[[F], F]: ...


def middleware(
    function: Any = None, /, *, blocking: bool = False, returns_awaitable: bool = False
) -> Any:
    """State that a callable is middleware: an around, a generator, or a factory.

    An around takes (ctx, message, next), a generator function (ctx, message), a factory
    (next). What lies before the `yield` of a generator is the way in; the `yield` gives
    the result of the inside, or raises its error. An `Exception` that is caught there
    is recovered from. `return value` replaces the result; before the `yield` it stops
    the call. `yield ctx` gives the inside that context. An async generator, for
    `execute_async` alone, yields `Stop(value)` to stop the call, and a second time to
    replace the result.

    Parameters:
        blocking: a sync around or factory blocks its thread while a stage inside it
            waits. With True `execute_async` accepts that; otherwise it raises
            AsyncHandlerError.
        returns_awaitable: a sync around or factory over an async inside is over before
            that has run. With True, because it only returns what `next` returned,
            `execute_async` accepts that; otherwise it raises AsyncHandlerError.

    Returns the callable itself. Raises TypeError where it has none of these forms, and
    where one of the two is said of a generator, which needs neither.
    """
    if function is None:
        return partial(
            middleware, blocking=blocking, returns_awaitable=returns_awaitable
        )
    from cqrs_fast.base.middleware_forms import AROUND, FACTORY, middleware_form

    form = middleware_form(function)
    declared = {_BLOCKING: blocking, _RETURNS_AWAITABLE: returns_awaitable}
    for name in [name for name, given in declared.items() if given]:
        option = name.strip("_").removeprefix("cqrs_fast_")
        if form not in (AROUND, FACTORY):
            raise TypeError(
                f"{option}=True is for an around or a factory, and {function!r} is a "
                "generator, which needs no such thing: write @middleware"
            )
        try:
            setattr(function, name, True)
        except AttributeError:
            raise TypeError(
                f"{option}=True needs an object with attributes, got {function!r}"
            ) from None
    return function


def is_blocking(function: object) -> bool:
    """Tell whether it was declared `@middleware(blocking=True)`."""
    return getattr(function, _BLOCKING, False) is True


def returns_awaitable(function: object) -> bool:
    """Tell whether it was declared `@middleware(returns_awaitable=True)`."""
    return getattr(function, _RETURNS_AWAITABLE, False) is True


def check_hooks(hooks: Middleware) -> None:
    """Raise TypeError for hooks that nobody would call: async, misspelt, or none."""
    from cqrs_fast.base.promises import is_coroutine_function

    cls = type(hooks)
    for hook in HOOKS:
        if is_coroutine_function(getattr(hooks, hook)):
            raise TypeError(
                f"{cls.__name__}.{hook} is async, and hooks are plain functions: write "
                "an async generator (ctx, message) under @middleware instead"
            )
    for name in sorted({name for base in cls.__mro__ for name in vars(base)}):
        if not name.startswith(_LIKE_HOOKS) or name in HOOKS:
            continue
        if callable(getattr(cls, name)):
            raise TypeError(
                f"{cls.__name__}.{name} is no hook, and nobody calls it: the hooks are "
                f"{_NAMED}; begin its name with _ if it is something of its own"
            )
    if not used_hooks(hooks):
        raise TypeError(
            f"{cls.__name__} has no hook: override one of {_NAMED}, or leave it out"
        )


def used_hooks(hooks: Middleware) -> list[str]:
    """Return the names of the hooks that it has of its own."""
    return [hook for hook in HOOKS if overridden(hooks, hook) is not None]


def overridden(hooks: Middleware, hook: str) -> Any:
    """Return the hook as it is called, or None where it is Middleware's own."""
    found = getattr(hooks, hook)
    if getattr(found, "__func__", found) is getattr(Middleware, hook):
        return None
    return found


class Stop:
    """What an async generator middleware yields to answer the call itself.

    Nothing inside of it runs then. A plain generator returns the answer; to answer with
    None it returns `Stop(None)`.

    Attributes:
        value: the answer.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Stop({self.value!r})"
