"""The results of `bus.describe()` and `bus.explain()`."""

from __future__ import annotations

from typing import Any

import msgspec


class StageInfo(msgspec.Struct, frozen=True):
    """One stage of a route.

    Attributes:
        kind: the class of the stage or middleware; `around` or `factory` for callables.
        settings: its effective settings.
    """

    kind: str
    settings: dict[str, Any]


class RouteInfo(msgspec.Struct, frozen=True):
    """One route: a message, its handler, and the stages that apply to it.

    Attributes:
        name: the registered name.
        handler: where the handler is defined.
        is_async: whether only `execute_async` can run it.
        stages: outermost first, without those that never act on the message.
    """

    name: str
    handler: str
    is_async: bool
    stages: list[StageInfo]


def explained(info: RouteInfo, kind: str) -> str:
    """Return a route as text, from the outermost stage to the handler."""
    manner = "async" if info.is_async else "sync"
    width = max((len(stage.kind) for stage in info.stages), default=0)
    lines = [f"{info.name} ({kind}, {manner})"]
    for number, stage in enumerate(info.stages, 1):
        settings = ", ".join(
            f"{key}={value!r}" for key, value in stage.settings.items()
        )
        lines.append(f"  {number:2} {stage.kind:{width}}  {settings}".rstrip())
    lines.append(f"  -> {info.handler}")
    return "\n".join(lines)


def explained_all(infos: list[RouteInfo], kind: str, unknown: tuple[str, ...]) -> str:
    """Return all routes as text, and the configured messages that have none."""
    texts = [explained(info, kind) for info in infos]
    if unknown:
        names = ", ".join(unknown)
        texts.append(f"no handler here, but settings in the configuration: {names}")
    return "\n\n".join(texts)
