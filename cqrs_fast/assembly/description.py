"""The results of `bus.describe()` and `bus.explain()`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from cqrs_fast.base.shown_settings import changed_settings, value_text
from cqrs_fast.stages.catalog import row_of

_COLUMNS = 80
_LONGEST = 70  # of one word


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
        offload: whether a sync handler runs in a worker thread under `execute_async`.
        refusal: why `execute_async` raises AsyncHandlerError, and what to write; None
            if it does not.
    """

    name: str
    handler: str
    is_async: bool
    stages: list[StageInfo]
    offload: bool = False
    refusal: str | None = None


def explained(
    routes: Sequence[RouteInfo], kind: str, verbose: bool, unknown: Sequence[str] = ()
) -> str:
    """Return routes as text on 80 columns, from the outermost stage to the handlers.

    Routes with equal stages are shown together. A stage shows the settings that differ
    from the default ones, with `verbose` all of them. `unknown` are the messages that
    are configured and have no handler.
    """
    if not routes and not unknown:
        return f"this {kind} bus has no handlers"
    groups: dict[str, list[RouteInfo]] = {}
    for info in routes:
        stages = "\n".join(_stages_text(info, verbose))
        groups.setdefault(stages, []).append(info)
    texts = [_group_text(stages, group, kind) for stages, group in groups.items()]
    if unknown:
        names = ", ".join(unknown)
        text = f"no handler here, but settings in the configuration: {names}"
        texts += _wrapped(text, "", "  ")
    return "\n\n".join(texts)


def _group_text(stages: str, group: list[RouteInfo], kind: str) -> str:
    heads = [f"{info.name} ({kind}, {_manner(info)})" for info in group]
    if len(group) == 1:
        lines = _wrapped(heads[0], "", "  ")
    else:
        names = ", ".join(info.name for info in group)
        lines = _wrapped(f"{names} ({kind})", "", "  ")
    if stages:
        lines.append(stages)
    for info in group:
        name = "" if len(group) == 1 else f"{info.name}, {_manner(info)} "
        lines += _wrapped(f"{name}-> {_end_of(info.handler)}", "  ", "     ")
        if info.refusal is not None:
            text = f"!! execute_async raises AsyncHandlerError: {info.refusal}"
            lines += _wrapped(text, "  ", "     ")
    return "\n".join(lines)


def _stages_text(info: RouteInfo, verbose: bool) -> Iterator[str]:
    width = max((len(stage.kind) for stage in info.stages), default=0)
    for number, stage in enumerate(info.stages, 1):
        settings = stage.settings
        row = row_of(stage.kind)
        if row.module and not verbose:
            settings = changed_settings(row.load(), settings)
        values = (f"{name}={value_text(settings[name])}" for name in settings)
        head = f"  {number:2} {stage.kind:{width}}"
        yield from _wrapped(", ".join(values), f"{head}  ", " " * (len(head) + 2))


def _end_of(label: str) -> str:
    return label if len(label) <= _LONGEST else f"...{label[3 - _LONGEST:]}"


def _manner(info: RouteInfo) -> str:
    manner = "async" if info.is_async else "sync"
    return f"{manner}, offload" if info.offload else manner


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    from textwrap import wrap

    lines = wrap(
        text,
        _COLUMNS,
        initial_indent=first,
        subsequent_indent=rest if len(rest) < _COLUMNS // 2 else "     ",
        break_on_hyphens=False,
    )
    return lines or [first.rstrip()[:_COLUMNS]]
