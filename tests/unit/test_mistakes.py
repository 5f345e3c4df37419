"""Typical mistakes: the text says what happened, where, and what to write instead."""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
from support import Add, Ask, drive

from cqrs_fast import (
    BulkheadMiddleware,
    CachingMiddleware,
    CircuitBreaker,
    CircuitBreakerMiddleware,
    Command,
    CommandBus,
    Context,
    DeadlineExceededError,
    FallbackMiddleware,
    HandlerAlreadyRegisteredError,
    HandlerNotFoundError,
    IdempotencyMiddleware,
    LatencyHistogram,
    LoggingMiddleware,
    LRUCache,
    Middleware,
    ObjectPool,
    Query,
    QueryBus,
    RateLimitingMiddleware,
    RetryMiddleware,
    RetryPolicy,
    SlowCallMiddleware,
    TimeoutMiddleware,
    TokenBucket,
    ValidationError,
    ValidationMiddleware,
    default_config,
    handles,
)


def text_of(act: Callable[[], Any], error: type[Exception] = TypeError) -> str:
    with pytest.raises(error) as caught:
        act()
    return str(caught.value)


def says(text: str, *words: str) -> None:
    for word in words:
        assert word in text, text


# Misspelt parameters

MISSPELT: list[tuple[Any, tuple[Any, ...], str, str]] = [
    (CommandBus, (), "enable_metric", "enable_metrics"),
    (QueryBus, (), "middlewares", "middleware"),
    (CircuitBreaker, (), "fail_max", "failure_threshold"),
    (CircuitBreaker, (), "failure_treshold", "failure_threshold"),
    (CircuitBreakerMiddleware, (), "half_open_calls", "half_open_max_calls"),
    (RetryMiddleware, (), "max_attempt", "max_attempts"),
    (RetryMiddleware, (), "retries", "max_attempts"),
    (RetryPolicy, (), "basedelay", "base_delay"),
    (CachingMiddleware, (), "max_sise", "max_size"),
    (IdempotencyMiddleware, (), "max_record", "max_records"),
    (RateLimitingMiddleware, (), "request_per_window", "requests_per_window"),
    (TokenBucket, (), "maxkeys", "max_keys"),
    (BulkheadMiddleware, (), "max_concurent", "max_concurrent"),
    (TimeoutMiddleware, (), "second", "seconds"),
    (LoggingMiddleware, (), "slow_treshold", "slow_threshold"),
    (SlowCallMiddleware, (), "treshold", "threshold"),
    (ValidationMiddleware, (), "max_error", "max_errors"),
    (FallbackMiddleware, (), "fallbak", "fallback"),
    (LRUCache, (), "maxsize", "max_size"),
    (ObjectPool, (dict, 1), "preallocat", "preallocate"),
    (LatencyHistogram, (), "clok", "clock"),
]


@pytest.mark.parametrize(("make", "args", "wrong", "meant"), MISSPELT)
def test_a_misspelt_parameter_names_the_class_and_what_there_is(
    make: Any, args: Any, wrong: str, meant: str
) -> None:
    """Close matches first; where nothing is close, the parameters there are."""
    text = text_of(lambda: make(*args, **{wrong: 3}))
    says(text, make.__name__, repr(wrong), meant)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (
            lambda bus: bus.register_handler(Add, print, repalce=True),
            ["register_handler", "'repalce'", "replace"],
        ),
        (
            lambda bus: bus.handler(Add, midleware=[]),
            ["handler", "'midleware'", "middleware"],
        ),
        (
            lambda bus: CommandBus.from_config(default_config(), enable_metric=True),
            ["CommandBus", "'enable_metric'", "enable_metrics"],
        ),
        (
            lambda bus: RetryMiddleware().update(max_attempt=3),
            ["RetryMiddleware", "'max_attempt'", "max_attempts"],
        ),
        (
            lambda bus: CachingMiddleware().update(max_sise=3),
            ["CachingMiddleware", "'max_sise'", "max_size"],
        ),
        (
            lambda bus: bus.execute_many([], retun_exceptions=True),
            ["execute_many", "'retun_exceptions'", "return_exceptions"],
        ),
    ],
)
def test_a_misspelt_option_of_a_call_names_the_call(act: Any, words: Any) -> None:
    says(text_of(lambda: act(CommandBus())), *words)


def test_a_misspelt_option_of_handles_is_told_where_it_is_written() -> None:
    text = text_of(lambda: handles(Ask, midleware=[]))  # type: ignore[call-overload]
    says(text, "handles", "'midleware'", "middleware")


def test_options_of_handles_are_told_with_the_method() -> None:
    def write() -> None:
        class Users:
            @handles(Ask, is_async="yes")  # type: ignore[call-overload]
            def get(self, ask: Ask) -> int:
                return 1

        QueryBus().register(Users())

    text = text_of(write)
    says(text, "is_async")
    assert "get" in text or "handles" in text


# Registration


def test_a_method_in_a_class_body_is_told_at_once() -> None:
    bus = QueryBus()

    def write() -> None:
        class Users:
            @bus.handler
            def get(self, ask: Ask) -> int:
                return 1

    says(text_of(write), "get", "@handles", "register")
    assert bus.registered_queries() == []


def other(name: str) -> Any:
    class Again(Query[int], tag=name):
        pass

    return Again


def test_another_class_of_the_name_is_told_to_be_another() -> None:
    """To replace the handler would be wrong: the two classes need two names."""
    bus = QueryBus()
    bus.register_handler(Ask, lambda ask: 1)
    again = other("Ask")
    text = text_of(
        lambda: bus.register_handler(again, lambda ask: 1),
        HandlerAlreadyRegisteredError,
    )
    says(text, "Ask", "another class", again.__qualname__, "tag=")
    assert "replace=True" not in text


def test_a_message_of_another_class_of_the_name_is_told_to_be_another() -> None:
    bus = QueryBus()
    bus.register_handler(Ask, lambda ask: 1)
    again = other("Ask")
    for text in (
        text_of(lambda: bus.execute(again()), HandlerNotFoundError),
        text_of(lambda: drive(bus.execute_async(again())), HandlerNotFoundError),
    ):
        says(text, "another class", again.__qualname__, "support.Ask")
    assert "another class" not in text_of(
        lambda: bus.execute(other("Asks")()), HandlerNotFoundError
    )


@pytest.mark.parametrize(
    ("stage", "kind", "right"),
    [
        (CachingMiddleware, CommandBus, "QueryBus"),
        (IdempotencyMiddleware, QueryBus, "CommandBus"),
    ],
)
def test_a_stage_of_the_other_bus_is_told_before_any_handler(
    stage: Any, kind: Any, right: str
) -> None:
    for act in (
        lambda: kind(middleware=[stage()]),
        lambda: kind().add_middleware(stage()),
        lambda: kind.from_config(default_config(), middleware=[stage()]),
    ):
        text = text_of(act)
        says(text, stage.__name__)
        assert right in text or right[:-3].lower() in text


@pytest.mark.parametrize(
    "single", [ValidationMiddleware(), Middleware(), lambda next: next]
)
def test_one_middleware_instead_of_a_list(single: Any) -> None:
    for act in (
        lambda: CommandBus(middleware=single),
        lambda: CommandBus().register_handler(Add, print, middleware=single),
    ):
        says(text_of(act), "middleware", "list", "[")


@pytest.mark.parametrize("name", ["on_exception", "on_err", "before_call", "after_all"])
def test_a_misspelt_hook_is_told_with_the_three(name: str) -> None:
    hooks = type("Audit", (Middleware,), {name: lambda self, call: None})
    text = text_of(lambda: CommandBus(middleware=[hooks()]))
    says(text, "Audit", name, "before", "after", "on_error")


def test_an_object_with_no_hook_is_told() -> None:
    class Audit(Middleware):
        def befor(self, call: Any) -> None: ...

    says(text_of(lambda: CommandBus(middleware=[Audit()])), "Audit", "before")


def test_other_methods_of_hooks_are_their_own_business() -> None:
    class Audit(Middleware):
        def before(self, call: Any) -> None:
            self.record(call)

        def record(self, call: Any) -> None: ...
        def _on_exception(self, call: Any) -> None: ...

    CommandBus(middleware=[Audit()])


# Dispatch


@pytest.mark.parametrize("wrong", [{"name": "Ann"}, [1], "Ask", b"{}", 5, None])
def test_what_is_no_message_is_told_to_be_none(wrong: Any) -> None:
    """Nobody is advised to register a handler for dict."""
    for kind, base in ((CommandBus, "Command"), (QueryBus, "Query")):
        with pytest.raises((TypeError, HandlerNotFoundError)) as caught:
            kind().execute(wrong)
        text = str(caught.value)
        says(text, type(wrong).__name__, base)
        assert "register_handler" not in text


@pytest.mark.parametrize("wrong", [{"$type": "Ask"}, b'{"$type":"Ask"}'])
def test_a_payload_under_execute_is_led_to_the_call_for_it(wrong: Any) -> None:
    with pytest.raises((TypeError, HandlerNotFoundError), match="execute_json"):
        QueryBus().execute(wrong)


def test_the_order_of_the_guide_is_told_to_be_swapped() -> None:
    bus = QueryBus()
    bus.register_handler(Ask, lambda ask: 1)
    ctx: Any = Context.background()
    for act in (
        lambda: bus.execute(ctx, Ask()),
        lambda: drive(bus.execute_async(ctx, Ask())),
        lambda: bus.bind(Ask)(ctx, Ask()),
    ):
        says(text_of(act), "message", "first", "Context")


def test_a_dispatch_that_nobody_awaits_is_told() -> None:
    bus = QueryBus()
    bus.register_handler(Ask, lambda ask: 1)

    def forget() -> None:
        bus.execute_async(Ask())  # type: ignore[unused-coroutine]
        gc.collect()

    with pytest.warns(RuntimeWarning, match=r"execute_async\(Ask\) was never awaited"):
        forget()


def test_a_dispatch_taken_for_its_result_says_await() -> None:
    """Only an attribute is the library's to answer: operators are Python's own."""
    bus = QueryBus()
    bus.register_handler(Ask, lambda ask: 1)
    dispatch: Any = bus.execute_async(Ask())
    text = text_of(lambda: dispatch.name, AttributeError)
    dispatch.close()
    says(text, "'name'", "await")


def test_an_async_around_that_does_not_await_is_awaited_for() -> None:
    async def around(ctx: Any, message: Any, next: Any) -> Any:
        return next(ctx, message)

    async def handle(ask: Ask) -> int:
        await asyncio.sleep(0)
        return 5

    bus = QueryBus(middleware=[around])
    bus.register_handler(Ask, handle)

    async def main() -> Any:
        return await bus.execute_async(Ask())

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert asyncio.run(main()) == 5
        gc.collect()


def test_a_deadline_that_passed_says_of_which_message() -> None:
    bus = QueryBus()
    bus.register_handler(Ask, lambda ctx, ask: 1)
    ctx = Context.background().with_timeout(0)
    says(text_of(lambda: bus.execute(Ask(), ctx), DeadlineExceededError), "'Ask'")


def test_a_client_is_not_told_what_is_registered() -> None:
    bus = CommandBus()
    bus.register_handler("SecretProject", lambda command: 1)
    with pytest.raises(HandlerNotFoundError) as caught:
        bus.execute_json(b'{"$type":"SecretProjekt"}')
    assert "SecretProject" in str(caught.value)
    public = caught.value.public()
    assert "SecretProj" not in str(public)
    assert set(public) >= {"code", "message"}


# A query that cannot be cached


class Unhashable(Query[int]):
    where: Any = None


def test_a_query_that_makes_no_key_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One warning for the class: which field, and the method that helps."""
    bus = QueryBus(middleware=[CachingMiddleware()])
    bus.register_handler(Unhashable, lambda query: 1)
    with caplog.at_level(logging.WARNING, "cqrs_fast"):
        for _ in range(3):
            bus.execute(Unhashable(object()))
    (record,) = caplog.records
    says(record.getMessage(), "Unhashable", "where", "cache_key")


# Configuration and payloads


@pytest.mark.parametrize("wrong", ["service.json", b"service.json", {"middleware": {}}])
def test_a_path_instead_of_a_config_is_led_to_load_config(wrong: Any) -> None:
    for kind in (CommandBus, QueryBus):
        says(text_of(lambda: kind.from_config(wrong)), "Config", "load_config")  # noqa: B023


class Pair(Command[int]):
    one: int
    two: str


def test_every_invalid_field_of_a_payload_is_told() -> None:
    bus = CommandBus()
    bus.register_handler(Pair, lambda pair: 1)
    with pytest.raises(ValidationError) as caught:
        bus.execute_json(b'{"$type":"Pair","one":"x","two":2}')
    assert [path for path, _, _ in caught.value.errors] == ["$.one", "$.two"]


class CreateCommand(pydantic.BaseModel):
    name: str


def test_a_model_of_pydantic_is_decoded_as_it_decodes_itself() -> None:
    bus = CommandBus()
    bus.register_handler(CreateCommand, lambda command: command.name)
    assert bus.execute_json(b'{"$type":"Create","name":"Ann"}') == b'"Ann"'
