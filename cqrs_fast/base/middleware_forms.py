"""Find out, once at registration, which form a middleware that is a callable has."""

from __future__ import annotations

from cqrs_fast.base.inspection import required_positional
from cqrs_fast.base.naming import label_of
from cqrs_fast.base.promises import generator_kind

MIDDLEWARE_FORMS = (
    "middleware is a Middleware or Stage object, a callable (ctx, message, next), a "
    "generator function (ctx, message), or a factory (next)"
)

AROUND = "around"
FACTORY = "factory"
GENERATOR = "generator"
ASYNC_GENERATOR = "async generator"


def middleware_form(function: object) -> str:
    """Tell which form it has; TypeError for anything that is no middleware."""
    required = required_positional(function) if callable(function) else None
    count = -1 if required is None else len(required)
    kind = generator_kind(function) if callable(function) else None
    if kind is not None:
        if count != 2:
            raise TypeError(
                f"{label_of(function)} is {kind}: as middleware it takes (ctx, "
                "message) and no next, in whose place its `yield` stands"
            )
        return ASYNC_GENERATOR if "async" in kind else GENERATOR
    if count == 3:
        return AROUND
    if count == 1 and not isinstance(function, type):
        return FACTORY
    raise TypeError(f"{function!r} is no middleware: {MIDDLEWARE_FORMS}")
