"""The results of `bus.describe()` and `bus.explain()`."""

from __future__ import annotations

from typing import Any

import msgspec

# Of a line of text, as a terminal has it.
WIDTH = 80


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
        offload: whether the handler runs in a worker thread under `execute_async`.
        refusal: why `execute_async` raises AsyncHandlerError, and what to write; None
            if it does not.
    """

    name: str
    handler: str
    is_async: bool
    stages: list[StageInfo]
    offload: bool = False
    refusal: str | None = None


def explained(info: RouteInfo, kind: str) -> str:
    """Return a route as text, from the outermost stage to the handler."""
    manner = "async" if info.is_async else "sync"
    if info.offload:
        manner += ", offloaded to a thread under execute_async"
    width = max((len(stage.kind) for stage in info.stages), default=0)
    lines = [f"{info.name} ({kind}, {manner})"]
    for number, stage in enumerate(info.stages, 1):
        settings = ", ".join(
            f"{key}={value!r}" for key, value in stage.settings.items()
        )
        lines.append(f"  {number:2} {stage.kind:{width}}  {settings}".rstrip())
    lines.append(f"  -> {info.handler}")
    if info.refusal is not None:
        from textwrap import wrap

        text = f"!! execute_async raises AsyncHandlerError: {info.refusal}"
        lines += wrap(
            text,
            WIDTH,
            initial_indent="  ",
            subsequent_indent="     ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def explained_all(infos: list[RouteInfo], kind: str, unknown: tuple[str, ...]) -> str:
    """Return all routes as text, and the configured messages that have none."""
    texts = [explained(info, kind) for info in infos]
    if unknown:
        names = ", ".join(unknown)
        texts.append(f"no handler here, but settings in the configuration: {names}")
    return "\n\n".join(texts)
