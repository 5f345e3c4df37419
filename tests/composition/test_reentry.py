"""Row 9: no code of users runs under a lock, so it may call whatever is public."""

from __future__ import annotations

import asyncio
import faulthandler
import queue
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from reliability.parts import Get, Put, assert_whole
from support import drive

from cqrs_fast import (
    AuditMiddleware,
    AuthenticationMiddleware,
    BulkheadMiddleware,
    CachingMiddleware,
    CircuitBreaker,
    CircuitBreakerMiddleware,
    CommandBus,
    Context,
    FallbackMiddleware,
    IdempotencyMiddleware,
    LRUCache,
    Middleware,
    QueryBus,
    RateLimitingMiddleware,
    RetryMiddleware,
    RetryPolicy,
    TimeoutMiddleware,
    TokenBucket,
    ValidationMiddleware,
)

WATCHED_SECONDS = 10.0


class Other(Get):
    """A message with a handler of its own: its dispatch shares the middleware."""


class OtherPut(Put):
    pass


def watched(work: Callable[[], None], steps: Sequence[object] = ()) -> None:
    """Run `work` in a thread; fail with everybody's traceback if it hangs.

    It does if it neither ends nor adds to `steps` for some time.
    """
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    taken = -1
    while thread.is_alive() and len(steps) > taken:
        taken = len(steps)
        thread.join(WATCHED_SECONDS)
    if thread.is_alive():
        with tempfile.TemporaryFile("w+") as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            pytest.fail(f"hung for {WATCHED_SECONDS} s:\n{file.read()}")
    if errors:
        raise errors[0]


class Helper:
    """A thread that does what others ask for while they wait."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while (job := self.jobs.get()) is not None:
            work, done = job
            with suppress(Exception):
                work()
            done.set()

    def __call__(self, work: Callable[[], object]) -> None:
        if threading.current_thread() is self.thread:
            # The collector called back from here.
            work()
            return
        done = threading.Event()
        self.jobs.put((work, done))
        # No limit: who holds a lock here hangs, and the watchdog tells.
        done.wait()


class Scene:
    """Two buses with all stateful middleware; callbacks of one kind call back in."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.busy = False
        self.calls = 0
        self.action: Callable[[], object] = lambda: None
        self.limiter = RateLimitingMiddleware(10**6, 1.0, key=self.limiter_key)
        self.cache = CachingMiddleware(
            60.0,
            max_size=4,
            scope=self.scope,
            key=self.cache_key,
            condition=self.condition,
            tags=self.tags,
            clock=self.clock,
        )
        self.breaker = CircuitBreakerMiddleware(
            2, 1e-9, is_failure=self.is_failure, **self.listeners()
        )
        self.retry = RetryMiddleware(2, 1e-6, on_retry=self.on_retry)
        self.bulkhead = BulkheadMiddleware(50, max_queue=5, max_wait=1.0)
        self.records = IdempotencyMiddleware(self.idempotency_key)
        self.timeout = TimeoutMiddleware(60.0)
        around = [
            ValidationMiddleware(),
            AuditMiddleware(self.sink),
            AuthenticationMiddleware(self.authenticate),
            FallbackMiddleware(self.fallback),
            self.limiter,
        ]
        inside = [self.retry, self.breaker, self.bulkhead, self.timeout, Hooks(self)]
        self.queries = QueryBus(
            middleware=[*around, self.cache, *inside], enable_metrics=True
        )
        self.commands = CommandBus(
            middleware=[*around, self.records, *inside], enable_metrics=True
        )
        for message in (Get, Other):
            self.queries.register_handler(message, self.handler)
        for message in (Put, OtherPut):
            self.commands.register_handler(message, self.handler)

    def listeners(self) -> dict[str, Any]:
        return {"on_event": self.on_event}

    def called(self, kind: str) -> None:
        if kind == self.kind and not self.busy:
            self.busy = True
            self.calls += 1
            try:
                with suppress(Exception):
                    self.action()
            finally:
                self.busy = False

    # Callbacks

    def limiter_key(self, ctx: Context, message: Any) -> Any:
        self.called("limiter key")
        return message.number

    def scope(self, ctx: Context) -> str:
        self.called("cache scope")
        return "us"

    def cache_key(self, message: Any) -> Any:
        self.called("cache key")
        return message.number

    def condition(self, message: Any) -> bool:
        self.called("cache condition")
        return True

    def tags(self, message: Any) -> list[str]:
        self.called("cache tags")
        return ["t"]

    def clock(self) -> int:
        self.called("clock")
        return 1_000_000_000

    def is_failure(self, result: Any, error: Any) -> bool:
        self.called("failure predicate")
        return error is not None

    def on_event(self, *args: Any) -> None:
        self.called("breaker event")

    def on_retry(self, *args: Any) -> None:
        self.called("on_retry")

    def idempotency_key(self, message: Any) -> str:
        self.called("idempotency key")
        return str(message.number)

    def sink(self, event: Any) -> None:
        self.called("audit sink")

    def authenticate(self, ctx: Context, message: Any) -> str:
        self.called("authenticate")
        return "me"

    def fallback(self, ctx: Context, message: Any, error: Exception) -> Any:
        self.called("fallback")
        return -1

    def handler(self, ctx: Context, message: Any) -> Any:
        self.called("handler")
        if message.number % 2:
            raise ConnectionError
        return Result(self)

    # What is dispatched to have them all called

    def scenario(self) -> None:
        for number in (0, 1, 1, 2, 4, 6, 8, 10, 12, 14):
            self.queries.execute(Get(number))
            self.commands.execute(Put(number))
        # A ready handler never suspends: no loop is needed to step it.
        drive(self.queries.execute_async(Get(16)))
        self.cache.clear()


class Hooks(Middleware):
    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def before(self, call: Any) -> None:
        self.scene.called("before hook")

    def after(self, call: Any) -> None:
        self.scene.called("after hook")

    def on_error(self, call: Any) -> None:
        self.scene.called("on_error hook")


class Result:
    """A result whose end, when a cache lets it go, calls back in."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def __del__(self) -> None:
        self.scene.called("end of a value")


KINDS = (
    "limiter key",
    "cache scope",
    "cache key",
    "cache condition",
    "cache tags",
    "clock",
    "failure predicate",
    "breaker event",
    "on_retry",
    "idempotency key",
    "audit sink",
    "authenticate",
    "fallback",
    "handler",
    "before hook",
    "after hook",
    "on_error hook",
    "end of a value",
)

OWN = ("limiter", "cache", "breaker", "retry", "bulkhead", "records", "timeout")

# Arguments by the name of a method; a method that is not here takes none. What a method
# cannot take raises, which is as good as any other end: hanging is not.
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "add_middleware": (ValidationMiddleware(),),
    "bind": (Get,),
    "close": (0,),
    "close_async": (0,),
    "explain": (Other,),
    "handler": (lambda get: 1,),
    "invalidate": (Get(2),),
    "invalidate_tags": ("t",),
    "invalidate_type": (Get,),
    "register": (object(),),
    "register_handler": ("Nobody", lambda message: 1),
    "remaining_tokens": (2,),
    "set_ttl": (Get, 5.0),
    "unregister_handler": ("Nobody",),
}
UPDATES: dict[str, dict[str, Any]] = {
    "limiter": {"requests_per_window": 10**6},
    "cache": {"max_size": 3},
    "breaker": {"failure_threshold": 2},
    "retry": {"max_attempts": 2},
    "bulkhead": {"max_concurrent": 40},
}


def actions(scene: Scene) -> dict[str, Callable[[], object]]:
    """Find every public method of all that takes part."""
    found: dict[str, Callable[[], object]] = {}
    for owner in ("queries", "commands", *OWN):
        target = getattr(scene, owner)
        for name in dir(type(target)):
            if name.startswith(("_", "execute")):
                continue
            method = getattr(type(target), name)
            if not callable(method):
                found[f"{owner}.{name}"] = lambda t=target, n=name: getattr(t, n)
                continue
            args = ARGUMENTS.get(name, ())
            options = UPDATES.get(owner, {}) if name == "update" else {}
            found[f"{owner}.{name}"] = calling(getattr(target, name), args, options)
    for owner, message in (("queries", Other(20)), ("commands", OtherPut(20))):
        bus = getattr(scene, owner)
        found[f"{owner}.execute"] = calling(bus.execute, (message,), {})
        found[f"{owner}.execute_many"] = calling(bus.execute_many, ([message],), {})
        found[f"{owner}.execute_async"] = calling(
            lambda bus=bus, message=message: drive(bus.execute_async(message)), (), {}
        )
    return found


def calling(method: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    def call() -> None:
        result = method(*args, **options)
        if asyncio.iscoroutine(result):
            result.close()

    return call


@pytest.mark.parametrize("by", ["itself", "another thread"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_may_call_every_public_method(kind: str, by: str) -> None:
    """Row 9: generated from the public methods, watched for 10 s each."""
    helper = Helper()

    def scenes() -> None:
        for name in actions(Scene("none")):
            scene = Scene(kind)
            action = actions(scene)[name]
            current.append(name)
            scene.action = action if by == "itself" else lambda a=action: helper(a)
            with suppress(Exception):
                # Some of the actions close the bus or take a handler away.
                scene.scenario()
            # What the collector finds of it later calls nobody.
            scene.kind = "none"
            assert scene.calls > 0, f"{kind} was never called before {name}"
            for owner in OWN:
                assert_whole(getattr(scene, owner))

    current: list[str] = []
    try:
        watched(scenes, current)
    except BaseException as error:
        error.add_note(f"in {kind}, calling {current[-1:]} by {by}")
        raise
    finally:
        helper.jobs.put(None)


class Key:
    """A key whose comparison and hash call back in."""

    def __init__(self, called: Callable[[], object]) -> None:
        self.called = called

    def __eq__(self, other: object) -> bool:
        self.called()
        return self is other

    def __hash__(self) -> int:
        self.called()
        return 1


def test_keys_of_users_run_under_no_lock() -> None:
    """Row 9: an object with its own `__eq__` in a policy that is used alone."""

    def work() -> None:
        busy: list[int] = []
        cache = LRUCache(4, ttl=60.0)
        bucket = TokenBucket(10**6, 1.0)

        def called() -> None:
            if busy:
                return
            busy.append(1)
            with suppress(Exception):
                cache.clear()
                cache["x"] = 1
                cache.get("x")
                bucket.try_acquire(1, "x")
                bucket.reset()
            busy.clear()

        for _ in range(50):
            key = Key(called)
            with suppress(TypeError):
                cache[key] = key
                assert len(cache) <= 4
                cache.get(key)
                cache.pop(key, None)
            with suppress(TypeError):
                bucket.try_acquire(1, key)
        assert_whole(cache)

    watched(work)


def test_policies_used_alone_may_be_reentered() -> None:
    """Row 9: what a policy calls may use the same policy."""

    def work() -> None:
        breaker = CircuitBreaker(3, 10.0)
        policy = RetryPolicy(2, 1e-6)
        assert breaker.call(lambda: breaker.call(lambda: breaker.get_state()))
        breaker.call(breaker.reset)
        assert policy.call(lambda: policy.call(lambda: 4)) == 4

    watched(work)
