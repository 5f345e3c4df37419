"""Inspect the form of handlers and middleware, once at registration."""

from __future__ import annotations

import inspect
import sys
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import FrameType, MethodType, UnionType
from typing import Any, NamedTuple, Union, get_origin

from cqrs_fast.base.message_names import class_meant, message_kind, message_meant
from cqrs_fast.base.promises import (
    choices,
    choosing_method,
    generator_kind,
    is_coroutine_function,
)
from cqrs_fast.base.results import declared_result, fits

HANDLER_FORMS = (
    "a handler is a callable (message) or (ctx, message), sync or async, or an object "
    "with such a `handle` method"
)


class HandlerForm(NamedTuple):
    """How the pipeline calls a handler."""

    call: Callable[..., Any]
    with_context: bool
    is_async: bool


def handler_form(
    handler: object, *, is_async: bool | None = None, with_context: bool | None = None
) -> HandlerForm:
    """Return how to call `handler`; the two keywords override its signature.

    Raises TypeError for an object that is no handler.
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


def message_of(handler: object) -> Any:
    """Return the class in the annotation of the handler's message parameter.

    It may be a generic class with its arguments. Raises TypeError, with the reason, if
    the annotation names no class, or the result is not that of the message.
    """
    call = _callable_of(handler)
    _takes_context(handler, call)  # TypeError if it is no handler
    required = required_positional(call)
    parameter = required[-1] if required else None
    annotation = parameter.annotation if parameter else inspect.Parameter.empty
    where = _describe(handler)
    unknown = f"cannot tell which message {where} handles"
    remedy = "name the message: @bus.handler(CreateUser)"
    if parameter is None or annotation is inspect.Parameter.empty:
        remedy = f"annotate its last parameter with the message class, or {remedy}"
        raise TypeError(f"{unknown}: {remedy}")
    try:
        annotation = _resolved(call, annotation)
    except Exception as error:  # an annotation is any expression
        reason = "its names must exist at run time"
        if "<locals>" in where:
            reason = "the classes of a function that has ended are lost"
        raise TypeError(
            f"{unknown}: its annotation {annotation!r} cannot be resolved ({error}): "
            f"{reason}; {remedy}"
        ) from error
    meant = message_meant(annotation)
    if meant is None:
        reason = f"{annotation!r} is no class"
        if get_origin(annotation) in (Union, UnionType):
            reason = f"{annotation} is a union: register each of its classes"
        raise TypeError(f"{unknown}: {reason}, or {remedy}")
    _check_result(call, where, meant)
    return meant


def _check_result(call: Callable[..., Any], where: str, message: Any) -> None:
    """Raise TypeError if a handler says that it returns what its message does not."""
    signature = _signature(call)
    if signature is None or signature.return_annotation is signature.empty:
        return
    declared = declared_result(message)
    try:
        returned = _resolved(call, signature.return_annotation)
    except Exception:  # what it names may not exist at run time
        return
    if not fits(returned, declared):
        name = getattr(message, "__qualname__", message)
        raise TypeError(
            f"{where} returns {_shown(returned)}, and the result of {name} is "
            f"{_shown(declared)}: correct one of them"
        )


def _shown(annotation: Any) -> str:
    name = getattr(annotation, "__qualname__", None)
    return str(annotation) if name is None or get_origin(annotation) else str(name)


def refuse_handler_class(cls: type) -> None:
    """Raise TypeError for a class under `@bus.handler` that is no message."""
    handles = callable(getattr(cls, "handle", None)) or any(
        "__call__" in vars(base) for base in cls.__mro__
    )
    if handles and message_kind(cls) is None:
        raise TypeError(
            f"{cls.__qualname__} is a class, and @bus.handler takes functions: write "
            f"bus.register_handler(CreateUser, {cls.__name__}(...))"
        )


def _callable_of(handler: object) -> Callable[..., Any]:
    if isinstance(handler, type):
        raise TypeError(
            f"{handler.__qualname__} is a class, not an instance: pass "
            f"{handler.__name__}(...); {HANDLER_FORMS}"
        )
    if (
        not inspect.isroutine(handler)
        and not isinstance(handler, partial)
        # Of its class: a mock has every attribute.
        and callable(getattr(type(handler), "handle", None))
    ):
        return handler.handle  # type: ignore[attr-defined,no-any-return]
    if isinstance(handler, classmethod) or _is_method_without_object(handler):
        cls, _, name = _describe(handler).rpartition(".")
        raise TypeError(
            f"{cls}.{name} is a method without its object: mark it with "
            f"@handles(CreateUser) and write bus.register({cls}(...)), or pass "
            f"{cls}(...).{name}"
        )
    if callable(handler):
        return handler
    raise TypeError(f"{_describe(handler)} is no handler: {HANDLER_FORMS}")


def _is_method_without_object(handler: object) -> bool:
    """Return whether a function was defined in a class and needs its `self`.

    Only names show that: in the body of its class it is a plain function, as a static
    method is. So the first parameter must have the conventional name.
    """
    if not inspect.isroutine(handler) or isinstance(handler, MethodType):
        return False
    scope = _describe(handler).rpartition(".")[0]
    if not scope or scope.endswith("<locals>"):
        return False
    signature = _signature(handler)
    names = list(signature.parameters) if signature else []
    return bool(names) and names[0] in ("self", "cls")


def _takes_context(handler: object, call: Callable[..., Any]) -> bool:
    signature = _signature(call)
    if signature is None:
        return False
    required, needed = _required(signature)
    if needed:
        raise TypeError(
            f"{_describe(handler)} needs the keyword {needed[0]!r}, which the bus "
            f"does not pass; {HANDLER_FORMS}"
        )
    kinds = [p.kind for p in signature.parameters.values()]
    if not required and inspect.Parameter.VAR_POSITIONAL in kinds:
        return True
    if len(required) not in (1, 2):
        takes = ", ".join(p.name for p in required)
        raise TypeError(f"{_describe(handler)} takes ({takes}); {HANDLER_FORMS}")
    if len(required) == 2 and choices(_plain_function(call)):
        raise TypeError(
            f"{_describe(handler)} dispatches by its first parameter, which is the "
            f"context: take the message alone; {HANDLER_FORMS}"
        )
    if len(required) == 2 and _is_message_annotation(call, required[0]):
        raise TypeError(
            f"{_describe(handler)} has its parameters swapped: the context comes "
            f"first, then the message; {HANDLER_FORMS}"
        )
    return len(required) == 2


def _is_message_annotation(call: object, parameter: inspect.Parameter) -> bool:
    try:
        cls = class_meant(_resolved(call, parameter.annotation))
    except Exception:  # its names may not exist at run time
        return False
    # Not by the suffix of its name: a class called SessionQuery may be a context.
    names = ("command_name", "query_name", "event_name")
    return cls is not None and any(hasattr(cls, name) for name in names)


def _resolved(call: object, annotation: Any) -> Any:
    """Return an annotation, evaluated if it is a text; raises what that raises.

    Its names are resolved in the function, its closure, the enclosing functions that
    still run, and its module.
    """
    if not isinstance(annotation, str):
        return annotation
    function: Any = _plain_function(call)
    if not inspect.isroutine(function):
        function = getattr(  # noqa: B004 - to inspect it, not to test for it
            type(function), "__call__", function
        )
    function = inspect.unwrap(getattr(function, "__func__", function))
    scope = ChainMap(*_names_around(function))
    for _ in range(2):  # a text in a postponed annotation
        if isinstance(annotation, str):
            annotation = eval(annotation, {}, scope)
    return annotation


def _names_around(function: Any) -> Iterator[Any]:
    parameters = getattr(function, "__type_params__", ())
    yield {parameter.__name__: parameter for parameter in parameters}
    if closure := getattr(function, "__closure__", None):
        names = function.__code__.co_freevars
        cells = zip(names, closure, strict=True)
        yield {name: cell.cell_contents for name, cell in cells if _is_full(cell)}
    outer = getattr(function, "__qualname__", "")
    module: Mapping[str, Any] = getattr(function, "__globals__", {})
    while ".<locals>." in outer:
        outer = outer.rpartition(".<locals>.")[0]
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            if frame.f_code.co_qualname == outer and frame.f_globals is module:
                yield dict(frame.f_locals)
                break
            frame = frame.f_back
    yield module


def _is_full(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - it raises if the cell is empty
    except ValueError:
        return False
    return True


def _required(
    signature: inspect.Signature,
) -> tuple[list[inspect.Parameter], list[str]]:
    """Return the positional parameters and the keywords without a default."""
    needed = [p for p in signature.parameters.values() if p.default is p.empty]
    positional = (
        inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    )
    keywords = [p.name for p in needed if p.kind is p.KEYWORD_ONLY]
    return [p for p in needed if p.kind in positional], keywords


def required_positional(function: object) -> list[inspect.Parameter] | None:
    """Return the parameters that must be passed by position; None if unknown."""
    signature = _signature(function)
    if signature is None:
        return None
    positional, keywords = _required(signature)
    return None if keywords else positional


def _signature(function: Any) -> inspect.Signature | None:
    """Return the signature of a callable; `*args` of a wrapper means the inner one."""
    method = _dispatching_method(function)
    if method is not None:
        return _signature(method)
    wrapped = getattr(function, "__wrapped__", None)
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        if wrapped is None:
            return None
    else:
        parameters = signature.parameters.values()
        if wrapped is None or not any(p.kind is p.VAR_POSITIONAL for p in parameters):
            return signature
    inner = _signature(wrapped)
    if inner is None or not inspect.ismethod(function):
        return inner
    return inner.replace(parameters=list(inner.parameters.values())[1:])


def _dispatching_method(function: object) -> Any:
    """Return the function of a singledispatchmethod, bound as it will be, or None."""
    dispatcher = choosing_method(function)
    if dispatcher is None:
        return None
    # Bound to any object: only the other parameters matter.
    return dispatcher.func.__get__(dispatcher, type(dispatcher))


def _plain_function(call: object) -> object:
    while isinstance(call, partial):
        call = call.func
    return call


def _describe(handler: object) -> str:
    name = getattr(handler, "__qualname__", None)
    return name if isinstance(name, str) else repr(handler)
