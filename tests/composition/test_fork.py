"""A forked child is not held up by what the other threads of its parent had begun."""

from __future__ import annotations

import os

import pytest
from support import run_script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

PRELUDE = """
import os, threading, time, warnings
# Newer versions of Python advise against what is tested here.
warnings.simplefilter("ignore", DeprecationWarning)
from cqrs_fast import *
from forking import *
"""


def run(script: str) -> None:
    assert run_script(PRELUDE + script + "\nprint('end')\n") == "end\n"


def test_a_query_that_another_thread_computes_is_computed_by_the_child() -> None:
    run("""
held = Held()
cache = CachingMiddleware()
bus = QueryBus(middleware=[cache], enable_metrics=True)
bus.register_handler(Get, held)
leader = Caller(bus, Get(1))
held.entered.wait()
follower = Caller(bus, Get(1))
eventually(lambda: cache.stats().loading == 2)

def check():
    assert cache.stats().loading == 0
    began = time.monotonic()
    assert bus.execute(Get(1)) == 1
    assert time.monotonic() - began < 2
    assert held.calls == 2 and len(cache) == 1
    assert cache.invalidate(Get(1)) == 1
    assert bus.execute(Get(1)) == bus.execute(Get(1)) == 1
    assert held.calls == 3
    cache._check()
    is_at_rest(bus)

fork(check)
fork(check)
held.go_on.set()
assert leader.result() == follower.result() == 1
assert held.calls == 1 and len(cache) == 1 and cache.stats().loading == 0
is_at_rest(bus)
""")


def test_a_command_that_another_thread_does_can_be_done_in_the_child() -> None:
    run("""
held = Held()
once = IdempotencyMiddleware()
bus = CommandBus(middleware=[once], enable_metrics=True)
bus.register_handler(Put, held)
assert bus.execute(Put(5, "kept")) == 5
leader = Caller(bus, Put(1, "key"))
held.entered.wait()
follower = Caller(bus, Put(1, "key"))
time.sleep(0.05)

def check():
    assert once.stats().in_progress == 0
    assert bus.execute(Put(5, "kept")) == 5
    assert held.calls == 2
    assert bus.execute(Put(1, "key")) == bus.execute(Put(1, "key")) == 1
    assert held.calls == 3 and len(once) == 2
    is_at_rest(bus)

fork(check)
fork(check)
assert once.stats().in_progress == 1
held.go_on.set()
assert leader.result() == follower.result() == 1
assert held.calls == 2
is_at_rest(bus)
""")


@pytest.mark.parametrize("queue", [0, 3])
def test_the_child_has_all_permits_of_a_bulkhead(queue: int) -> None:
    run(f"queue = {queue}" + """
held = Held()
bulkhead = BulkheadMiddleware(1, max_queue=queue)
bus = QueryBus(middleware=[bulkhead], enable_metrics=True)
bus.register_handler(Get, held)
inside = Caller(bus, Get(1))
held.entered.wait()
waiting = [Caller(bus, Get(number)) for number in range(2, 2 + queue)]
eventually(lambda: bulkhead.snapshot().waiting == queue)

def check():
    now = bulkhead.snapshot()
    assert (now.in_flight, now.waiting) == (0, 0)
    assert bus.execute(Get(7)) == 7
    # There is one, and no more.
    seen = []
    def nested(query):
        seen.append(bulkhead.snapshot().in_flight)
        if queue:
            other = Caller(bus, Get(8))
            eventually(lambda: bulkhead.snapshot().waiting == 1)
            return other
        try:
            bus.execute(Get(8))
        except BulkheadFullError as error:
            return error
    class Nested(Query[object]):
        pass
    bus.register_handler(Nested, nested)
    outcome = bus.execute(Nested())
    assert seen == [1]
    assert outcome.result() == 8 if queue else isinstance(outcome, BulkheadFullError)
    now = bulkhead.snapshot()
    assert (now.in_flight, now.waiting) == (0, 0)
    is_at_rest(bus)

fork(check)
fork(check)
assert bulkhead.snapshot().in_flight == 1
assert bulkhead.snapshot().waiting == queue
held.go_on.set()
assert inside.result() == 1
assert [one.result() for one in waiting] == list(range(2, 2 + queue))
assert bulkhead.snapshot().in_flight == 0
is_at_rest(bus)
""")


@pytest.mark.parametrize("key", ["None", "lambda ctx, query: 'somebody'"])
def test_nobody_waits_for_a_token_in_the_child(key: str) -> None:
    run(f"key = {key}" + """
from cqrs_fast.testing import ManualClock
clock = ManualClock()
limiter = RateLimitingMiddleware(1, 60.0, key=key, max_wait=300.0, clock=clock)
bus = QueryBus(middleware=[limiter], enable_metrics=True)
bus.register_handler(Get, Held())
assert bus.execute(Get(2)) == 2
waiting = [Caller(bus, Get(number)) for number in (3, 4)]
eventually(lambda: limiter.snapshot().waiting == 2)

def check():
    assert limiter.snapshot().waiting == 0
    other = Caller(bus, Get(5))
    eventually(lambda: limiter.snapshot().waiting == 1)
    # The next token is that of the first in the child's own line.
    eventually(lambda: clock.waiting > 0)
    clock.advance(61)
    assert other.result() == 5
    limiter.reset()
    assert bus.execute(Get(6)) == 6
    assert limiter.snapshot().waiting == 0
    is_at_rest(bus)

fork(check)
fork(check)
assert limiter.snapshot().waiting == 2
limiter.reset()
eventually(lambda: limiter.snapshot().waiting == 1)
limiter.reset()
assert [one.result() for one in waiting] == [3, 4]
is_at_rest(bus)
""")


@pytest.mark.parametrize("metrics", [False, True])
def test_close_in_the_child_does_not_wait_for_the_threads_of_the_parent(
    metrics: bool,
) -> None:
    run(f"metrics = {metrics}" + """
held = Held()
bus = QueryBus(enable_metrics=metrics)
bus.register_handler(Get, held)
inside = Caller(bus, Get(1))
held.entered.wait()

def check():
    if metrics:
        assert bus.stats().total.in_flight == 0
    assert bus.execute(Get(2)) == 2
    report = bus.close(5)
    assert report.drained and not report.still_running and report.waited < 1

fork(check)
if metrics:
    assert bus.stats().total.in_flight == 1
closing = threading.Thread(target=bus.close)
closing.start()
eventually(lambda: isinstance(Caller(bus, Get(2)).result(), BusClosedError))
# While somebody waits for the end of it.
fork(lambda: bus.close(5).drained or 1 / 0)
held.go_on.set()
assert inside.result() == 1
closing.join(SECONDS)
assert not closing.is_alive() and bus.close(0).drained
""")


FROM_INSIDE = """
calls, children = [], []

def handle(message):
    calls.append(message.number)
    if not children:
        children.append(os.fork())
        if children[0] == 0:
            signal.alarm(SECONDS // 2)
            if fails:
                raise ConnectionError
    return message.number

def start(message):
    if not run_async:
        return bus.execute(message)
    return drive(bus.execute_async(message))

def main():
    assert start(message) == 1
    done = 2 if fails and children[0] == 0 else 1
    assert calls == [1] * done
    if bulkhead is not None:
        assert bulkhead.snapshot().in_flight == bulkhead.snapshot().waiting == 0
    assert start(message) == 1
    assert len(calls) == done + (not stores)
    # Nothing was counted twice on the way out, nor below zero.
    assert Caller(bus, other).result() == 2
    if bulkhead is not None:
        assert bulkhead.snapshot().in_flight == bulkhead.snapshot().waiting == 0
    is_at_rest(bus)

def around(ctx, message, next):
    return next(ctx, message)

bulkhead, store = make_bulkhead(), make_store()
bus = make_bus(middleware=make_middleware(), enable_metrics=metrics)
bus.register_handler(type(message), handle)
try:
    main()
except BaseException:
    if children[:1] == [0]:
        end_child(main)
    raise
if children[0] == 0:
    os._exit(0)
reap(children[0])
"""

PIPELINES = {
    "bare": "",
    "around": "around",
    "bulkhead": "bulkhead",
    "bulkhead-retry": "bulkhead, RetryMiddleware(3, 1e-6)",
    "retry-bulkhead": "RetryMiddleware(3, 1e-6), bulkhead",
    "store": "store",
    "all": "RateLimitingMiddleware(max_wait=1.0), store, RetryMiddleware(3, 1e-6), "
    "CircuitBreakerMiddleware(), bulkhead, around",
}


# What makes no difference to a pipeline is left out.
CASES = [
    (kind, pipeline, queue)
    for pipeline, middleware in PIPELINES.items()
    for kind in (["command", "query"] if "store" in middleware else ["query"])
    for queue in ([0, 2] if "bulkhead" in middleware else [0])
]


@pytest.mark.parametrize(("kind", "pipeline", "queue"), CASES)
@pytest.mark.parametrize("run_async", [False, True], ids=["sync", "async"])
def test_a_handler_that_forks_ends_in_both_processes(
    kind: str, run_async: bool, pipeline: str, queue: int
) -> None:
    middleware = PIPELINES[pipeline]
    if kind == "command":
        made = "CommandBus", "IdempotencyMiddleware", 'Put(1, "key")', "Put(2)"
    else:
        made = "QueryBus", "CachingMiddleware", "Get(1)", "Get(2)"
    run(
        f"""
import signal
from support import drive
make_bus, make_store, message, other = {", ".join(made)}
run_async, metrics = {run_async}, {bool(middleware)}
fails, stores = {"Retry" in middleware}, {"store" in middleware}
make_bulkhead = lambda: BulkheadMiddleware(1, max_queue={queue})
make_middleware = lambda: [{middleware}]
"""
        + FROM_INSIDE
    )


def test_who_forks_still_leads_those_who_wait_in_the_child() -> None:
    run("""
from support import drive
calls, children, followers = [], [], []

def handle(message):
    calls.append(message)
    if not children:
        children.append(os.fork())
        if children[0] == 0:
            followers.append(Caller(bus, message))
            time.sleep(0.05)
    return object()

def check():
    results = [bus.execute(message), *[one.result() for one in followers]]
    assert len({id(result) for result in results}) == 1, results
    assert len(calls) == 1
    is_at_rest(bus)

for bus, message in [
    (QueryBus(middleware=[CachingMiddleware()]), Get(1)),
    (CommandBus(middleware=[IdempotencyMiddleware()]), Put(1, "key")),
]:
    bus.register_handler(type(message), handle)
    bus.execute(message)
    if children[0] == 0:
        end_child(check)
    reap(children.pop())
    calls.clear()
""")


@pytest.mark.parametrize("own", [False, True], ids=["of-a-thread", "of-who-forks"])
def test_a_suspended_dispatch_gives_nothing_back_in_the_child(own: bool) -> None:
    run(f"own = {own}" + """
from support import suspend
bulkhead = BulkheadMiddleware(1, max_queue=2)
limiter = RateLimitingMiddleware(3, 3600.0, max_wait=10000.0)
cache = CachingMiddleware(scope="shared")

async def handle(query):
    await suspend()
    return query.number

bus = QueryBus(middleware=[limiter, cache, bulkhead], enable_metrics=True)
bus.register_handler(Get, handle)

def suspend_four():
    async def step(dispatch):
        suspended.append(dispatch)
        dispatch.send(None)

    async def steps():
        # Each in a task of its own: one task does not wait for itself.
        for number in (1, 1, 2, 3):
            await asyncio.create_task(step(bus.execute_async(Get(number))))

    asyncio.run(steps())

import asyncio
suspended = []
thread = threading.Thread(target=suspend_four)
if own:
    thread.run()
else:
    thread.start()
    thread.join()
assert limiter.snapshot().waiting == 1 and cache.stats().loading == 3
assert (bulkhead.snapshot().in_flight, bulkhead.snapshot().waiting) == (1, 1)

def numbers():
    return (
        limiter.snapshot().waiting, bus.stats().total.in_flight,
        bulkhead.snapshot().in_flight, bulkhead.snapshot().waiting,
    )

def check():
    assert numbers() == (0, 0, 0, 0)
    # Its own loads it might still end.
    assert cache.stats().loading == (3 if own else 0)
    limiter.reset()
    mine = bus.execute_async(Get(4))
    mine.send(None)
    assert numbers() == (0, 1, 1, 0)
    for one in suspended:
        one.close()
        assert numbers() == (0, 1, 1, 0)
    assert cache.stats().loading == 1
    try:
        mine.send(None)
    except StopIteration as stop:
        assert stop.value == 4
    cache._check()
    assert numbers() == (0, 0, 0, 0) and cache.stats().loading == 0
    is_at_rest(bus)

fork(check)
fork(check)
for one in suspended:
    one.close()
assert numbers() == (0, 0, 0, 0) and cache.stats().loading == 0
is_at_rest(bus)
""")


def test_a_child_forks_in_turn() -> None:
    run("""
depth = []
bulkhead = BulkheadMiddleware(1)
bus = QueryBus(middleware=[CachingMiddleware(), bulkhead], enable_metrics=True)

def handle(query):
    child = os.fork()
    if child:
        reap(child)
    else:
        depth.append(query.number)
        signal.alarm(SECONDS // 2)
        if len(depth) < 3:
            bus.execute(Get(query.number + 1))
    return query.number

import signal
bus.register_handler(Get, handle)
assert bus.execute(Get(1)) == 1
assert bulkhead.snapshot().in_flight == 0
is_at_rest(bus)
if depth:
    os._exit(0)
""")
