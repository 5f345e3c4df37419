"""Rate limiters: permits under threads, in any interval, over days, and per key."""

from __future__ import annotations

import sys
import time
from functools import partial

from benchmarks.rivals import limiters
from benchmarks.rivals.clocks import SimulatedTime, set_wall_clock_back
from benchmarks.rivals.crowd import together
from benchmarks.rivals.limiters import Limiter
from benchmarks.rivals.question import Promise, Question, at_most, exactly

HOUR = 3600
LIMIT = 200
THREADS = 8
ASKED = 60
"""So often each thread asks; together more than there are permits."""
DAY = 86_400
KEYS = 20_000
VICTIM = "victim"


def threads(kind: type[Limiter]) -> float:
    sys.setswitchinterval(1e-6)
    ends = time.monotonic() + 1.0
    worst = 0
    while time.monotonic() < ends:
        limiter = kind(LIMIT, HOUR)
        errors: list[Exception] = []
        counts = together([partial(admitted_to_one, limiter, errors)] * THREADS)
        worst = max(worst, sum(counts))
        if errors and worst <= LIMIT:
            # Whoever raises has not answered the question well.
            raise errors[0]
    return worst


def admitted_to_one(limiter: Limiter, errors: list[Exception]) -> int:
    admitted = 0
    for _ in range(ASKED):
        try:
            admitted += limiter.admits()
        except Exception as error:
            errors.append(error)
    return admitted


def interval(kind: type[Limiter]) -> float:
    """Take what there is late in one second and early in the next."""
    simulated = SimulatedTime()
    simulated.advance(900)
    limiter = kind(10, 1, simulated)
    admitted = drained(limiter)
    simulated.advance(100)
    return admitted + drained(limiter)


def drained(limiter: Limiter) -> int:
    admitted = 0
    while limiter.admits():
        admitted += 1
    return admitted


def drift(kind: type[Limiter]) -> float:
    """Ask for all there is once a second for a day; return what is missing."""
    simulated = SimulatedTime()
    limiter = kind(7, 3, simulated)
    admitted = drained(limiter)
    for _ in range(DAY):
        simulated.advance(1_000)
        admitted += drained(limiter)
    exact = 7 + DAY * 7 // 3
    return 100 * (exact - admitted) / exact


def churn(kind: type[Limiter]) -> float:
    """Spend the permits of one key, use many others, and ask for the one again."""
    limiter = kind(10, 24 * HOUR)
    for _ in range(10):
        if not limiter.admits(VICTIM):
            raise RuntimeError("a new key has no permits")
    for number in range(KEYS):
        limiter.admits(f"key {number}")
    return sum(limiter.admits(VICTIM) for _ in range(10))


def set_back(kind: type[Limiter]) -> float:
    limiter = kind(1, 1)
    drained(limiter)
    set_wall_clock_back(kind.package, HOUR)
    time.sleep(1.1)
    return limiter.admits()


QUESTIONS = (
    Question.of(
        "limiter-threads",
        f"{THREADS} threads ask {THREADS * ASKED} times for {LIMIT} permits: the worst",
        exactly(LIMIT, "admitted"),
        threads,
        (
            limiters.Ours,
            limiters.LimitsFixed,
            limiters.LimitsMoving,
            limiters.LimitsSliding,
            limiters.ThrottledTokens,
            limiters.ThrottledGcra,
            limiters.PyRate,
            limiters.PyResilience,
        ),
    ),
    Question.of(
        "limiter-interval",
        "10 permits a second: all are taken at 0.9 s and again at 1.0 s",
        at_most(11, "admitted in 0.1 s"),
        interval,
        (
            limiters.Ours,
            limiters.LimitsMoving,
            limiters.LimitsSliding,
            limiters.ThrottledTokens,
            limiters.ThrottledLeaking,
            limiters.ThrottledGcra,
            limiters.PyRate,
            limiters.PyResilience,
            limiters.AioLimiter,
        ),
    ),
    Question.of(
        "limiter-drift",
        "7 permits in 3 s, asked for each second of a simulated day",
        Promise(-0.01, 0.01, "% missing"),
        drift,
        (
            limiters.Ours,
            limiters.ThrottledTokens,
            limiters.ThrottledLeaking,
            limiters.ThrottledGcra,
            limiters.PyResilience,
            limiters.AioLimiter,
        ),
    ),
    Question.of(
        "limiter-churn",
        f"a key has spent its permits for a day, and {KEYS} other keys come",
        exactly(0, "more admitted"),
        churn,
        (
            limiters.Ours,
            limiters.LimitsFixed,
            limiters.LimitsMoving,
            limiters.ThrottledTokens,
            limiters.ThrottledGcra,
        ),
    ),
    Question.of(
        "limiter-clock",
        "1 permit a second: spent, then the wall clock is set back an hour",
        exactly(1, "admitted after 1.1 s"),
        set_back,
        (
            limiters.Ours,
            limiters.LimitsFixed,
            limiters.LimitsMoving,
            limiters.ThrottledTokens,
            limiters.ThrottledGcra,
            limiters.PyRate,
            limiters.PyResilience,
        ),
    ),
)
