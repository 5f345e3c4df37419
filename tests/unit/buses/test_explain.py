"""`explain`: what differs from the default, equal pipelines once, on 80 columns.

The pages leave open how all of it is reached from Python: `explain(message)` is one
route, `explain()` all of a bus, and `verbose=True` what `-v` is on the command line.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from support import Add, Ask

from cqrs_fast import (
    CachingMiddleware,
    Command,
    CommandBus,
    HandlerNotFoundError,
    Query,
    QueryBus,
    RateLimitingMiddleware,
    RetryMiddleware,
    ValidationMiddleware,
    default_config,
)
from cqrs_fast.cli import main
from cqrs_fast.config.reload import apply_config


class Other(Query[int]):
    pass


class Third(Query[int]):
    cache_ttl: ClassVar[float] = 5.0


class Pay(Command[int]):
    pass


def answer(message: Any) -> int:
    return 1


def configured() -> QueryBus:
    bus = QueryBus.from_config(default_config())
    for message in (Ask, Other, Third):
        bus.register_handler(message, answer)
    return bus


def test_one_route_tells_its_stages_and_its_handler() -> None:
    bus = QueryBus(middleware=[ValidationMiddleware(), RetryMiddleware(7)])
    bus.register_handler(Ask, answer)
    text = bus.explain(Ask)
    assert text == bus.explain("Ask")
    places = [
        text.index(word)
        for word in ("Ask", "ValidationMiddleware", "RetryMiddleware", "answer")
    ]
    assert places == sorted(places)
    assert "query" in text
    assert "sync" in text


def test_only_what_differs_from_the_default_is_printed() -> None:
    stages = [CachingMiddleware(5.0), RetryMiddleware(7), RateLimitingMiddleware()]
    bus = QueryBus(middleware=stages)
    bus.register_handler(Ask, answer)
    text = bus.explain(Ask)
    assert "ttl=5.0" in text
    assert "max_attempts=7" in text
    for word in ("max_size", "jitter", "base_delay", "requests_per_window", "scope"):
        assert word not in text


def test_verbose_prints_all() -> None:
    stages = [CachingMiddleware(5.0), RateLimitingMiddleware()]
    bus = QueryBus(middleware=stages)
    bus.register_handler(Ask, answer)
    text = bus.explain(Ask, verbose=True)
    for stage in bus.describe()[0].stages:
        for setting in stage.settings:
            assert setting in text


def test_what_the_middleware_was_changed_to_counts() -> None:
    stage = RetryMiddleware()
    bus = QueryBus(middleware=[stage])
    bus.register_handler(Ask, answer)
    assert "max_attempts" not in bus.explain(Ask)
    stage.update(max_attempts=9)
    assert "max_attempts=9" in bus.explain(Ask)
    stage.update(max_attempts=3)
    assert "max_attempts" not in bus.explain(Ask)


def test_equal_pipelines_are_printed_once() -> None:
    class Plain(Query[int]):
        pass

    bus = configured()
    bus.register_handler(Plain, answer)
    text = bus.explain()
    # Ask has constraints to check, and Third a cache of its own.
    assert text.count("CircuitBreakerMiddleware") == 3
    assert text.count("CachingMiddleware") == 1
    assert "\nOther, Plain (query)\n" in text


def test_handlers_are_told_for_each_message_of_a_group() -> None:
    def special(message: Any) -> int:
        return 2

    bus = QueryBus()
    bus.register_handler(Ask, answer)
    bus.register_handler(Other, special)
    text = bus.explain()
    assert "answer" in text
    assert "special" in text


@pytest.mark.parametrize("verbose", [False, True])
def test_every_line_fits_eighty_columns(verbose: bool) -> None:
    """Names of any length are shortened or wrapped, never dropped."""
    names = [f"{letter * 100}" for letter in "abc"]
    bus = QueryBus.from_config(
        default_config(), middleware=[CachingMiddleware(5.0), RateLimitingMiddleware(9)]
    )
    for name in names:
        bus.register_handler(name, answer)
    for text in (bus.explain(verbose=verbose), bus.explain(names[0], verbose=verbose)):
        assert max(map(len, text.splitlines())) <= 80
    for name in names:
        assert name[:20] in bus.explain()


def test_a_hundred_equal_messages_are_still_one_page() -> None:
    bus = CommandBus.from_config(default_config())
    for number in range(100):
        bus.register_handler(f"Message{number}", answer)
    text = bus.explain()
    assert text.count("TimeoutMiddleware") == 1
    assert "Message99" in text


def test_an_offloaded_handler_is_told() -> None:
    bus = QueryBus()
    bus.register_handler(Ask, answer, offload=True)
    bus.register_handler(Other, answer)
    assert "offload" in bus.explain(Ask)
    assert "offload" not in bus.explain(Other)


def test_a_live_change_is_told() -> None:
    bus = configured()
    before = bus.explain()
    bus.add_middleware(ValidationMiddleware(max_errors=3))
    assert "max_errors=3" in bus.explain()
    bus.remove_middleware(bus.middleware[-1])
    assert bus.explain() == before
    apply_config(default_config(), [bus])
    assert bus.explain() == before


def test_a_message_without_a_handler_is_not_explained() -> None:
    with pytest.raises(HandlerNotFoundError, match="Ask"):
        QueryBus().explain(Ask)


def test_an_empty_bus_says_so() -> None:
    assert "no handlers" in CommandBus().explain()


def test_a_setting_that_is_a_function_is_told_by_its_name() -> None:
    def by_name(ctx: Any, message: Any) -> str:
        return "name"

    bus = CommandBus(middleware=[RateLimitingMiddleware(key=by_name)])
    bus.register_handler(Add, answer)
    text = bus.explain(Add)
    assert "by_name" in text
    assert " at 0x" not in text


# The command line

commands = CommandBus.from_config(default_config())
commands.register_handler(Add, answer)
commands.register_handler(Pay, answer)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["explain", *arguments]) == 0
    return capsys.readouterr().out


def test_the_command_line_prints_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys
    import types

    module = types.ModuleType("explained_here")
    module.commands = commands  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "explained_here", module)
    target = "explained_here:commands"
    assert printed(capsys, target).strip() == commands.explain().strip()
    one = printed(capsys, target, "Add")
    assert one.strip() == commands.explain("Add").strip()
    for flag in ("-v", "--verbose"):
        verbose = printed(capsys, target, "Add", flag)
        assert verbose.strip() == commands.explain("Add", verbose=True).strip()
        assert "failure_threshold=5" in verbose
    assert "failure_threshold=5" not in one
