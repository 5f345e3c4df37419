"""A limiter's scope: one bucket for all, or one for each principal."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from both_ways import Way, both_ways
from configuration import refusal, write
from support import Ask, eventually

from cqrs_fast import (
    AuthenticationMiddleware,
    Context,
    QueryBus,
    RateLimitExceededError,
    RateLimitingMiddleware,
    load_config,
    load_config_from_env,
)
from cqrs_fast.config.reload import apply_config
from cqrs_fast.testing import ManualClock

ROOT = Context.background()
ANN, BOB = ROOT.with_principal("ann"), ROOT.with_principal("bob")


def limited(way: Way, *stages: Any, **options: Any) -> Any:
    return way.bus(QueryBus, Ask, lambda ask: 1, middleware=stages, **options)


def admits(way: Way, bus: Any, ctx: Any = None) -> bool:
    try:
        way(bus, Ask(), ctx)
    except RateLimitExceededError:
        return False
    return True


@both_ways
def test_each_principal_has_a_bucket(way: Way) -> None:
    bus = limited(way, RateLimitingMiddleware(2, 60.0, scope="principal"))
    for ctx in (ANN, BOB):
        assert [admits(way, bus, ctx) for _ in range(3)] == [True, True, False]


@both_ways
def test_callers_without_a_principal_share_one(way: Way) -> None:
    bus = limited(way, RateLimitingMiddleware(2, 60.0, scope="principal"))
    callers = [None, ROOT, ROOT.with_principal(None), ROOT.with_value("a", 1)]
    assert [admits(way, bus, ctx) for ctx in callers] == [True, True, False, False]
    assert admits(way, bus, ANN)


@both_ways
@pytest.mark.parametrize("settings", [{}, {"scope": "bus"}])
def test_one_bucket_for_all_is_the_default(way: Way, settings: Any) -> None:
    limiter = RateLimitingMiddleware(2, 60.0, **settings)
    bus = limited(way, limiter)
    assert [admits(way, bus, ctx) for ctx in (ANN, BOB, None)] == [True, True, False]
    assert limiter.settings()["scope"] == "bus"


@both_ways
def test_the_principal_is_the_one_the_pipeline_found(way: Way) -> None:
    """A context derived by a middleware outside counts, not the caller's own."""
    who = AuthenticationMiddleware(lambda ctx, message: ctx.value("token"))
    limiter = RateLimitingMiddleware(1, 60.0, scope="principal")
    bus = limited(way, who, limiter)
    ann, bob = (ROOT.with_value("token", name) for name in ("ann", "bob"))
    assert [admits(way, bus, ctx) for ctx in (ann, bob, ann)] == [True, True, False]
    assert limiter.remaining_tokens("ann") == 0
    assert limiter.remaining_tokens("cid") == 1


@both_ways
def test_tokens_come_back_to_each(way: Way) -> None:
    clock = ManualClock(1.0)
    limiter = RateLimitingMiddleware(1, 60.0, scope="principal", clock=clock)
    bus = limited(way, limiter, clock=clock)
    assert admits(way, bus, ANN)
    clock.advance(30.0)
    assert admits(way, bus, BOB)
    error = way.error(bus, Ask(), ANN)
    assert isinstance(error, RateLimitExceededError)
    assert error.retry_after == 30.0
    clock.advance(30.0)
    assert [admits(way, bus, ctx) for ctx in (ANN, BOB)] == [True, False]


def test_more_principals_than_buckets_are_still_limited() -> None:
    way = Way(False)
    limiter = RateLimitingMiddleware(2, 60.0, scope="principal", max_keys=3)
    bus = limited(way, limiter)
    for number in range(3):
        assert admits(way, bus, ROOT.with_principal(number))
    # The others share one, and push nobody out.
    others = [ROOT.with_principal(f"late {number}") for number in range(5)]
    assert [admits(way, bus, ctx) for ctx in others] == [True, True, *[False] * 3]
    assert limiter.stats().keys <= 3
    assert limiter.stats().overflowed > 0


@pytest.mark.parametrize("scope", ["bus", "principal"])
def test_it_excludes_a_key(scope: str) -> None:
    """Which error is left open by the pages: both arguments are named in its text."""
    with pytest.raises((TypeError, ValueError), match="key") as caught:
        RateLimitingMiddleware(1, scope=scope, key=lambda ctx, message: 1)
    assert "scope" in str(caught.value)


@pytest.mark.parametrize("wrong", ["user", "", None, 5, ["bus"]])
def test_another_scope_is_refused(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="scope") as caught:
        RateLimitingMiddleware(1, scope=wrong)
    assert "'bus'" in str(caught.value)
    assert "'principal'" in str(caught.value)


def test_one_who_waits_keeps_nobody_else_waiting() -> None:
    clock = ManualClock(1.0)
    limiter = RateLimitingMiddleware(
        1, 60.0, scope="principal", max_wait=120.0, clock=clock
    )
    bus = QueryBus(middleware=[limiter], clock=clock)
    bus.register_handler(Ask, lambda ask: 1)

    async def main() -> None:
        await bus.execute_async(Ask(), ANN)
        waits = asyncio.ensure_future(bus.execute_async(Ask(), ANN))
        await asyncio.sleep(0)
        assert limiter.stats().waiting == 1
        assert await bus.execute_async(Ask(), BOB) == 1
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        assert limiter.stats().waiting == 0

    asyncio.run(main())
    waits = threading.Thread(target=bus.execute, args=(Ask(), ANN))
    waits.start()
    eventually(lambda: limiter.stats().waiting == 1)
    assert bus.execute(Ask(), ROOT.with_principal("cid")) == 1
    clock.advance(60.0)
    waits.join(5)
    assert not waits.is_alive()


def test_threads_get_what_there_is_for_each() -> None:
    bus = limited(Way(False), RateLimitingMiddleware(50, 3600.0, scope="principal"))
    admitted: list[str] = []

    def work(ctx: Context) -> None:
        passed = [admits(Way(False), bus, ctx) for _ in range(100)]
        admitted.extend([ctx.principal] * passed.count(True))

    threads = [threading.Thread(target=work, args=(ctx,)) for ctx in [ANN, BOB] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (admitted.count("ann"), admitted.count("bob")) == (50, 50)


# From a configuration


def config_of(tmp_path: Path, **settings: Any) -> Any:
    section = {"enabled": True, "requests_per_window": 1, "window_sec": 60, **settings}
    document = {"middleware": {"rate_limiting": section}}
    return load_config(write(tmp_path, "service.json", json.dumps(document)))


@both_ways
def test_a_file_says_it_and_changes_it_live(tmp_path: Path, way: Way) -> None:
    bus = QueryBus.from_config(config_of(tmp_path), clock=ManualClock(1.0))
    bus.register_handler(Ask, way.handler(lambda ask: 1))
    assert [admits(way, bus, ctx) for ctx in (ANN, BOB)] == [True, False]
    apply_config(config_of(tmp_path, scope="principal"), [bus])
    assert [admits(way, bus, ctx) for ctx in (BOB, ANN, BOB)].count(True) == 2
    apply_config(config_of(tmp_path, scope="bus"), [bus])
    assert sum(admits(way, bus, ROOT.with_principal(n)) for n in range(5)) <= 1


def test_the_environment_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CQRS_MIDDLEWARE__RATE_LIMITING__SCOPE", "principal")
    assert load_config_from_env().middleware.rate_limiting.scope == "principal"


def test_the_default_of_a_file_is_one_bucket(tmp_path: Path) -> None:
    assert config_of(tmp_path).middleware.rate_limiting.scope == "bus"
    path = write(
        tmp_path, "bad.json", '{"middleware": {"rate_limiting": {"scope": "user"}}}'
    )
    error = refusal(load_config, path)
    assert error.key == "middleware.rate_limiting.scope"
    assert "principal" in str(error)
