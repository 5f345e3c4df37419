"""Find out, once at registration, which form a handler or a middleware has."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from cqrs_fast.promises import generator_kind

HANDLER_FORMS = (
    "a handler is a callable (message) or (ctx, message), sync or async, or an object "
    "with such a `handle` method"
)
MIDDLEWARE_FORMS = (
    "middleware is a Middleware or Stage object, a callable (ctx, message, next), or a "
    "factory (next)"
)


class HandlerForm(NamedTuple):
    """How the pipeline calls a handler."""

    call: Callable[..., Any]
    with_context: bool
    is_async: bool


def handler_form(
    handler: object, *, is_async: bool | None = None, with_context: bool | None = None
) -> HandlerForm:
    """Tell how to call `handler`; the two keywords override what its signature says.

    Raises TypeError for anything that is no handler.
    """
    call = _callable_of(handler)
    kind = generator_kind(call)
    if kind is not None:
        raise TypeError(
            f"{_describe(handler)} is {kind}, whose work begins when its result is "
            f"iterated, after the pipeline: return a list of it; {HANDLER_FORMS}"
        )
    if with_context is None:
        with_context = _takes_context(handler, call)
    if is_async is None:
        is_async = is_coroutine_function(call)
    return HandlerForm(call, with_context, is_async)


def message_of(handler: object) -> type:
    """Return the class that the handler's message parameter is annotated with."""
    call = _callable_of(handler)
    required = _required_positional(call)
    parameter = required[-1] if required and len(required) <= 2 else None
    annotation = parameter.annotation if parameter else inspect.Parameter.empty
    if isinstance(annotation, str) and parameter:
        annotation = _resolved_annotation(call, parameter.name)
    if not isinstance(annotation, type) or annotation is inspect.Parameter.empty:
        raise TypeError(
            f"cannot tell which message {_describe(handler)} handles: annotate its "
            "last parameter with the message class, or name it: "
            "@bus.handler(CreateUser)"
        )
    return annotation


def is_around(function: object) -> bool:
    """Tell whether a callable takes (ctx, message, next)."""
    required = _required_positional(function) if callable(function) else None
    return required is not None and len(required) == 3


def is_factory(function: object) -> bool:
    """Tell whether a callable takes (next) alone."""
    if not callable(function) or isinstance(function, type):
        return False
    required = _required_positional(function)
    return required is not None and len(required) == 1


def is_coroutine_function(call: object) -> bool:
    """Tell whether calling it gives a coroutine, as far as its definition says."""
    plain = _plain_function(call)
    method = getattr(type(plain), "__call__", None)  # noqa: B004 - to look into it
    return inspect.iscoroutinefunction(plain) or inspect.iscoroutinefunction(method)


def _callable_of(handler: object) -> Callable[..., Any]:
    if isinstance(handler, type):
        raise TypeError(
            f"{handler.__qualname__} is a class, not an instance: pass "
            f"{handler.__name__}(...); {HANDLER_FORMS}"
        )
    if (
        not inspect.isroutine(handler)
        and not isinstance(handler, partial)
        # Of its class: a mock has every attribute that it is asked for.
        and callable(getattr(type(handler), "handle", None))
    ):
        return handler.handle  # type: ignore[attr-defined,no-any-return]
    if callable(handler):
        return handler
    raise TypeError(f"{_describe(handler)} is no handler: {HANDLER_FORMS}")


def _takes_context(handler: object, call: Callable[..., Any]) -> bool:
    signature = _signature(call)
    if signature is None:
        return False
    parameters = list(signature.parameters.values())
    needed = [p.name for p in parameters if _is_required_keyword(p)]
    if needed:
        raise TypeError(
            f"{_describe(handler)} needs the keyword {needed[0]!r}, which nobody "
            f"passes; {HANDLER_FORMS}"
        )
    required = [p for p in parameters if _is_required_positional(p)]
    if not required and any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    if len(required) not in (1, 2):
        takes = ", ".join(p.name for p in required)
        raise TypeError(f"{_describe(handler)} takes ({takes}); {HANDLER_FORMS}")
    if len(required) == 2 and _is_message_annotation(call, required[0]):
        raise TypeError(
            f"{_describe(handler)} has its parameters swapped: the context comes "
            f"first, then the message; {HANDLER_FORMS}"
        )
    return len(required) == 2


def _is_message_annotation(call: object, parameter: inspect.Parameter) -> bool:
    annotation: object = parameter.annotation
    if isinstance(annotation, str):
        annotation = _resolved_annotation(call, parameter.name)
    # Not by the suffix of its name: a class called SessionQuery may well be a context.
    names = ("command_name", "query_name", "event_name")
    return isinstance(annotation, type) and any(hasattr(annotation, n) for n in names)


def _resolved_annotation(call: object, name: str) -> object:
    plain = _plain_function(call)
    function: Any = getattr(plain, "__func__", plain)
    if not inspect.isroutine(function):
        function = getattr(  # noqa: B004 - to look into it, not to test for it
            type(function), "__call__", function
        )
    function = inspect.unwrap(function)
    annotation = getattr(function, "__annotations__", {}).get(name)
    scope = getattr(function, "__globals__", {})
    if not isinstance(annotation, str):
        return annotation
    from typing import get_type_hints

    try:
        # One parameter at a time: what the others name may not exist at run time.
        return get_type_hints(_Hinted({name: annotation}), scope, {})[name]
    except Exception:
        return None


class _Hinted:
    """An object with annotations, for typing.get_type_hints."""

    def __init__(self, annotations: dict[str, str]) -> None:
        self.__annotations__ = annotations


def _required_positional(function: object) -> list[inspect.Parameter] | None:
    signature = _signature(function)
    if signature is None:
        return None
    parameters = signature.parameters.values()
    if any(_is_required_keyword(p) for p in parameters):
        return None
    return [p for p in parameters if _is_required_positional(p)]


def _signature(function: Any) -> inspect.Signature | None:
    """Return the callable's own signature; a wrapper's `*args` means what it wraps."""
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return None
    parameters = signature.parameters.values()
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is None or not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return signature
    inner = _signature(wrapped)
    if inner is None or not inspect.ismethod(function):
        return inner
    return inner.replace(parameters=list(inner.parameters.values())[1:])


def _is_required_positional(parameter: inspect.Parameter) -> bool:
    positional = (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    return parameter.kind in positional and parameter.default is parameter.empty


def _is_required_keyword(parameter: inspect.Parameter) -> bool:
    keyword_only = parameter.kind is parameter.KEYWORD_ONLY
    return keyword_only and parameter.default is parameter.empty


def _plain_function(call: object) -> object:
    while isinstance(call, partial):
        call = call.func
    return call


def _describe(handler: object) -> str:
    return getattr(handler, "__qualname__", None) or repr(handler)
