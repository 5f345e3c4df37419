"""Schedules of waiters on event loops that are stepped by hand, in virtual time.

All loops live in one thread. A loop that blocks is not stepped until it is free again;
one that closes is closed with its tasks in it. Time jumps to what happens next.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import random
import resource
import selectors
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from hunters.hunting import seen
from reliability.parts import Get, Put, bus_of, gauges

import cqrs_fast as c

MILLISECOND = 1_000_000
START_NS = 10**12
# A schedule that goes on for longer never ends.
MOST_STEPS = 20_000
# Rounding of timers, which are floats of seconds.
SLACK_NS = 2_000

_now_ns = START_NS
# Whose dispatch runs: tasks inherit it.
CALLER = contextvars.ContextVar("CALLER", default=-1)
THREAD = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
# A thread that gave the processor up for longer than this, in seconds, waited.
LEAST_WAIT = 0.003


def now() -> int:
    return _now_ns


class NoSelector(selectors.BaseSelector):
    """Nothing to select: wake-ups of a loop that is stepped by hand need none."""

    def register(self, fileobj: Any, events: int, data: Any = None) -> Any:
        return selectors.SelectorKey(fileobj, 0, events, data)

    def unregister(self, fileobj: Any) -> Any:
        return None

    def select(self, timeout: float | None = None) -> list[Any]:
        return []

    def get_map(self) -> Any:
        return {}


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop that runs only when it is told to, and never waits."""

    blocked_until = 0

    def __init__(self) -> None:
        super().__init__(NoSelector())

    def time(self) -> float:
        return _now_ns / 1e9

    def step(self) -> None:
        self.call_soon(self.stop)
        self.run_forever()

    def due_ns(self) -> int | None:
        """Return when its next timer is due; now if something is ready."""
        if self._ready:  # type: ignore[attr-defined]
            return _now_ns
        timers = [
            round(one.when() * 1e9)
            for one in self._scheduled  # type: ignore[attr-defined]
            if not one.cancelled()
        ]
        return max(min(timers), _now_ns) if timers else None


class Caller(NamedTuple):
    """When a caller comes and goes, in milliseconds from the start and its coming."""

    at: int
    loop: int
    key: int
    takes: int
    fails: bool
    nests: bool
    cancelled_after: int | None
    deadline_after: int | None


class Event(NamedTuple):
    """What happens to a loop: it blocks for so long, or closes."""

    at: int
    loop: int
    blocks: int | None


class Schedule(NamedTuple):
    seed: int
    stage: str
    numbers: tuple[int, ...]
    loops: int
    callers: list[Caller]
    events: list[Event]


def limiter(numbers: tuple[int, ...], **options: Any) -> Any:
    limit, burst, max_wait = numbers
    return c.RateLimitingMiddleware(
        limit, 0.1, burst=burst, max_wait=max_wait / 1000, clock=now, **options
    )


def pool(numbers: tuple[int, ...]) -> Any:
    return c.ObjectPool(
        list, numbers[1], preallocate=False, max_wait=numbers[2] / 1000, clock=now
    )


# Without a max_wait of its own a bulkhead waits until the deadline, or for 30 s.
DEFAULT_WAIT = 30_000
STAGES: dict[str, Callable[[tuple[int, ...]], Any]] = {
    "limiter": limiter,
    "keyed limiter": lambda numbers: limiter(
        numbers, key=lambda ctx, message: message.number
    ),
    "bulkhead": lambda numbers: c.BulkheadMiddleware(
        numbers[1], max_queue=50, max_wait=numbers[2] / 1000, clock=now
    ),
    "bulkhead without max_wait": lambda numbers: c.BulkheadMiddleware(
        numbers[1], max_queue=50, clock=now
    ),
    "cache": lambda numbers: c.CachingMiddleware(
        0.05, flight_wait_max=numbers[2] / 1000, clock=now
    ),
    "idempotency": lambda numbers: c.IdempotencyMiddleware(
        key=lambda message: str(message.number),
        ttl=0.05,
        lease=DEFAULT_WAIT / 1000,
        clock=now,
    ),
    "pool": pool,
    "crowded limiter": limiter,
}


def drawn(seed: int) -> Schedule:
    """Draw the schedule of a seed."""
    rng = random.Random(seed)
    stage = rng.choice(tuple(STAGES))
    is_crowded = stage == "crowded limiter"
    loops = rng.randrange(2 if is_crowded else 1, 4)
    span = rng.choice((1, 20, 200))

    def some(probability: float, most: int) -> int | None:
        return rng.randrange(1, most) if rng.random() < probability else None

    callers = [
        Caller(
            at=rng.randrange(span),
            loop=rng.randrange(loops),
            key=rng.randrange(3),
            takes=rng.choice((0, 1, 5, 40)),
            fails=rng.random() < 0.2,
            nests=rng.random() < 0.15,
            cancelled_after=some(0.2, 80),
            deadline_after=some(0.3, 120),
        )
        for _ in range(rng.randrange(*((8, 30) if is_crowded else (2, 14))))
    ]
    events = [
        Event(rng.randrange(1, span + 60), rng.randrange(loops), some(0.7, 150))
        for _ in range(rng.choice((1, 2, 3, 4, 5) if is_crowded else (0, 1, 1, 2)))
    ]
    numbers = (
        rng.randrange(5, 61) if is_crowded else rng.randrange(1, 20),
        rng.randrange(1, 4),
        rng.randrange(40, 201) if is_crowded else rng.randrange(5, 100),
    )
    return Schedule(
        seed,
        stage,
        numbers,
        loops,
        sorted(callers, key=lambda caller: caller.at),
        sorted(events, key=lambda event: event.at),
    )


class Run:
    """One schedule on loops of its own."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.stage = STAGES[schedule.stage](schedule.numbers)
        self.message: Any = Put if schedule.stage == "idempotency" else Get
        stages = [] if schedule.stage == "pool" else [self.stage]
        self.bus = bus_of(stages, self.message, self.handle, clock=now)
        self.sync = bus_of(stages, self.message, self.handle_now, clock=now)
        self.loops = [SteppedLoop() for _ in range(schedule.loops)]
        self.started: dict[int, int] = {}
        # How long each caller waited until its handler began or it was turned away.
        self.ended: dict[int, tuple[Any, int]] = {}
        self.running: set[int] = set()
        # In which they came.
        self.order: dict[int, int] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.blocking: dict[int, int] = dict.fromkeys(range(schedule.loops), 0)
        # How often somebody was served before one who waits on a loop that is held up.
        self.overtakings = 0

    async def handle(self, ctx: Any, message: Any) -> int:
        if self.schedule.stage == "pool":
            async with self.stage.lease_async(ctx):
                return await self.work(ctx)
        return await self.work(ctx)

    def handle_now(self, ctx: Any, message: Any) -> int:
        if self.schedule.stage == "pool":
            with self.stage.lease(ctx):
                return 1
        return 1

    async def work(self, ctx: Any) -> int:
        number = CALLER.get()
        caller = self.schedule.callers[number]
        self.started[number] = now()
        self.overtakings += self.overtakes(number)
        if caller.nests:
            self.nest(ctx, caller)
        if caller.takes:
            await asyncio.sleep(caller.takes / 1000)
        if caller.fails:
            raise ConnectionError
        return 1

    def overtakes(self, number: int) -> bool:
        """Whether one who came earlier waits on: only where its loop is held up."""
        if "limiter" not in self.schedule.stage:
            return False
        key = self.schedule.callers[number].key
        ahead = [
            self.schedule.callers[one]
            for one in self.running - self.started.keys()
            if self.order[one] < self.order[number]
        ]
        if self.schedule.stage == "keyed limiter":
            ahead = [one for one in ahead if one.key == key]
        for one in ahead:
            blocked = self.loops[one.loop].blocked_until
            assert blocked >= now(), f"caller {number} overtook {one}, which could run"
        return bool(ahead)

    def nest(self, ctx: Any, caller: Caller) -> None:
        """Dispatch synchronously, in the thread of a loop: nothing may wait here."""
        message = self.message((caller.key + caller.takes) % 3)
        began, switches = time.monotonic(), resource.getrusage(THREAD).ru_nvcsw
        with suppress(c.CQRSError):
            self.sync.execute(message, ctx)
        took = time.monotonic() - began
        waits = resource.getrusage(THREAD).ru_nvcsw - switches
        assert not (waits and took > LEAST_WAIT), f"a loop's thread waited {took:.4f} s"

    async def call(self, number: int) -> None:
        caller = self.schedule.callers[number]
        CALLER.set(number)
        ctx = None
        loop = asyncio.get_running_loop()
        if caller.deadline_after is not None:
            ctx = c.Context.background(clock=now).with_timeout(
                caller.deadline_after / 1000
            )
        task = asyncio.current_task()
        assert task is not None
        if caller.cancelled_after is not None:
            loop.call_later(caller.cancelled_after / 1000, task.cancel)
        self.running.add(number)
        self.order[number] = len(self.order)
        came = now()
        outcome: Any = None
        try:
            outcome = await self.bus.execute_async(self.message(caller.key), ctx)
        except (c.CQRSError, ConnectionError, asyncio.CancelledError) as error:
            outcome = error
        finally:
            self.running.discard(number)
            waited = self.started.get(number, now()) - came
            self.ended[number] = outcome, waited

    def go(self) -> None:
        """Let it all happen, one event after the other."""
        coming = [(one.at, number) for number, one in enumerate(self.schedule.callers)]
        events = list(self.schedule.events)
        for _ in range(MOST_STEPS):
            self.settle()
            if not coming and not events and not self.running_somewhere():
                return
            self.jump(coming, events)
        raise AssertionError(f"it never ends: {self.running} wait")

    def running_somewhere(self) -> bool:
        return any(not loop.is_closed() and self.tasks_of(loop) for loop in self.loops)

    def tasks_of(self, loop: SteppedLoop) -> list[Any]:
        return [one for one in self.tasks if one.get_loop() is loop and not one.done()]

    def settle(self) -> None:
        """Step each loop that is free until none has anything to do at this time."""
        for _ in range(MOST_STEPS):
            busy = False
            for loop in self.loops:
                if loop.is_closed() or loop.blocked_until > now():
                    continue
                due = loop.due_ns()
                if due is not None and due <= now():
                    loop.step()
                    busy = True
            if not busy:
                self.check_nobody_waits_in_vain()
                return
        raise AssertionError("something is ready for ever")

    def jump(self, coming: list[tuple[int, int]], events: list[Event]) -> None:
        """Move to the next moment and let begin what begins there."""
        global _now_ns
        moments = [START_NS + at * MILLISECOND for at, _ in coming[:1]]
        moments += [START_NS + event.at * MILLISECOND for event in events[:1]]
        for loop in self.loops:
            if not loop.is_closed():
                due = loop.due_ns()
                if due is not None:
                    moments.append(max(due, loop.blocked_until))
        assert moments, f"a wake-up was lost: {sorted(self.running)} wait for nothing"
        _now_ns = max(_now_ns, min(moments))
        while events and START_NS + events[0].at * MILLISECOND <= _now_ns:
            self.happen(events.pop(0))
        while coming and START_NS + coming[0][0] * MILLISECOND <= _now_ns:
            _, number = coming.pop(0)
            loop = self.loops[self.schedule.callers[number].loop]
            if not loop.is_closed():
                self.tasks.append(loop.create_task(self.call(number)))

    def happen(self, event: Event) -> None:
        loop = self.loops[event.loop]
        if loop.is_closed():
            return
        if event.blocks is not None:
            until = now() + event.blocks * MILLISECOND
            loop.blocked_until = max(loop.blocked_until, until)
            self.blocking[event.loop] += event.blocks * MILLISECOND
            return
        gone = {
            number
            for number in self.running
            if self.schedule.callers[number].loop == event.loop
        }
        self.running -= gone
        loop.close()

    def check_nobody_waits_in_vain(self) -> None:
        """While no loop is blocked, what is free is taken."""
        if self.schedule.stage == "pool":
            in_use = self.stage.stats().in_use
        elif "bulkhead" in self.schedule.stage:
            in_use = self.stage.snapshot().in_flight
        else:
            return
        if any(loop.blocked_until > now() for loop in self.loops):
            return
        waiting = [one for one in self.running if one not in self.started]
        free = self.schedule.numbers[1] - in_use
        assert not (waiting and free > 0), (
            f"{waiting} wait at {(now() - START_NS) / MILLISECOND} ms, {free} are free"
        )

    def check(self) -> None:
        for number, (outcome, waited) in self.ended.items():
            self.check_end(number, outcome, waited)

    def check_end(self, number: int, outcome: Any, waited: int) -> None:
        caller = self.schedule.callers[number]
        assert not isinstance(outcome, int) or outcome == 1
        if isinstance(outcome, asyncio.CancelledError):
            assert caller.cancelled_after is not None, f"{number} got another's"
        most = self.longest_wait(caller)
        # Once its own loop is free again it is served or turned away.
        most += self.blocking[caller.loop]
        assert waited <= most + SLACK_NS, (
            f"caller {number} waited {waited / MILLISECOND:.3f} ms instead of "
            f"{most / MILLISECOND:.3f}"
        )

    def longest_wait(self, caller: Caller) -> int:
        limits = [DEFAULT_WAIT]
        if self.schedule.stage not in ("bulkhead without max_wait", "idempotency"):
            limits.append(self.schedule.numbers[2])
        limits += [
            limit
            for limit in (caller.deadline_after, caller.cancelled_after)
            if limit is not None
        ]
        most = min(limits) * MILLISECOND
        if self.schedule.stage in ("cache", "idempotency"):
            # A follower that waits no longer runs the handler itself; what it shared
            # until then, it waited for.
            most += max(one.takes for one in self.schedule.callers) * MILLISECOND
        return most

    def end(self) -> None:
        for loop in self.loops:
            if not loop.is_closed():
                assert not self.tasks_of(loop)
                loop.step()
                loop.close()
        self.tasks.clear()
        # What closed loops left is freed; so it gives back what it held.
        gc.collect()
        for bus in (self.bus, self.sync):
            held = [one for one in gauges(bus.stats()) if one[1] != 0]
            assert not held, f"held at the end: {held}"
            report = bus.close(0)
            assert report.drained, report
        if self.schedule.stage == "pool":
            stats = self.stage.stats()
            assert (stats.in_use, stats.waiting) == (0, 0), stats


def run(schedule: Schedule) -> None:
    global _now_ns
    _now_ns = START_NS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = Run(schedule)
        one.go()
        one.check()
        one.end()
    seen["overtakings"] += one.overtakings
