"""The table of defects is honest: its verdicts follow from what was measured."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from benchmarks import defects
from benchmarks.rivals import ask_breakers, ask_caches, ask_limiters
from benchmarks.rivals.breakers import Breaker
from benchmarks.rivals.caches import Cache
from benchmarks.rivals.isolation import (
    ABSENT,
    OURS,
    STANDARD_LIBRARY,
    installed_version,
    pins,
)
from benchmarks.rivals.limiters import Limiter
from benchmarks.rivals.question import (
    BREAKS,
    FAILS,
    HOLDS,
    Answer,
    Promise,
    Question,
    Subject,
    at_most,
    exactly,
)


def asked(
    measure: Callable[[], float],
    promise: Promise = at_most(1, "calls"),  # noqa: B008
    distribution: str = STANDARD_LIBRARY,
    patience: float = 10.0,
) -> Answer:
    subject = Subject(distribution, "thing", measure)
    return Question("row", "asks", promise, (subject,)).answer(subject, patience)


# Verdicts


@pytest.mark.parametrize(
    ("promise", "text", "kept", "broken"),
    [
        (exactly(1, "load"), "1 load", [1.0], [0, 2, 16]),
        (at_most(60, "ms"), "at most 60 ms", [0, 41.3, 60], [60.1, 162]),
        (
            Promise(-0.01, 0.01, "% missing"),
            "-0.01 to 0.01 % missing",
            [0, 0.01],
            [14.3, -1],
        ),
    ],
)
def test_the_number_decides(
    promise: Promise, text: str, kept: list[float], broken: list[float]
) -> None:
    assert str(promise) == text
    for measured in kept:
        assert asked(lambda: measured, promise).verdict == HOLDS  # noqa: B023
    for measured in broken:
        answer = asked(lambda: measured, promise)  # noqa: B023
        assert (answer.verdict, answer.measured) == (BREAKS, measured)


def test_what_is_not_installed_is_not_asked() -> None:
    answer = asked(lambda: 1 / 0, distribution="no-such-distribution")
    assert (answer.verdict, answer.measured, answer.version) == (ABSENT, None, None)
    assert "not installed" in defects.table([answer])


def changed() -> float:
    raise TypeError("unexpected keyword argument 'threshold'")


def hanging() -> float:
    time.sleep(60)
    return 0.0


def crashing() -> float:
    os._exit(3)


@pytest.mark.parametrize(
    ("measure", "patience", "note"),
    [
        (changed, 10.0, "TypeError: unexpected keyword argument 'threshold'"),
        (hanging, 0.05, "hangs: none within 0.05 s"),
        (crashing, 10.0, "its process died"),
    ],
)
def test_who_cannot_be_measured_gets_no_verdict(
    measure: Callable[[], float], patience: float, note: str
) -> None:
    answer = asked(measure, patience=patience)
    assert (answer.verdict, answer.measured, answer.note) == (FAILS, None, note)
    assert f"no answer ({note})" in defects.table([answer])


def test_another_version_than_the_pinned_one_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "benchmarks.rivals.question.installed_version", lambda distribution: "99.0"
    )
    pinned = pins()["pybreaker"]
    answer = asked(lambda: 1, distribution="pybreaker")
    assert (answer.version, answer.note) == ("99.0", f"{pinned} is pinned")


# The script


def answer_of(distribution: str, verdict: str) -> Answer:
    subject = Subject(distribution, "thing", float)
    row = Question("row", "asks", exactly(1, "load"), (subject,))
    return Answer(row, subject, "1.0", 1.0, verdict)


@pytest.mark.parametrize(
    ("distribution", "verdict", "status"),
    [
        (OURS, HOLDS, 0),
        (OURS, BREAKS, 1),
        (OURS, FAILS, 1),
        ("pybreaker", BREAKS, 0),
        ("pybreaker", FAILS, 0),
        ("pybreaker", ABSENT, 0),
    ],
)
def test_only_our_own_defects_fail_the_script(
    distribution: str,
    verdict: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [answer_of(distribution, verdict)]
    monkeypatch.setattr(defects, "answers", lambda questions: given)
    assert defects.main([]) == status
    assert verdict in capsys.readouterr().out
    assert defects.main(["--json"]) == status
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["row"], row["promise"], row["verdict"]) == ("row", "1 load", verdict)


def test_rows_can_be_chosen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen: list[str] = []

    def note(questions: list[Question]) -> list[Answer]:
        chosen.extend(question.name for question in questions)
        return []

    monkeypatch.setattr(defects, "answers", note)
    assert defects.main(["--row", "stale-load", "--row", "interrupt"]) == 0
    assert chosen == ["interrupt", "stale-load"]
    capsys.readouterr()
    assert defects.main(["--list"]) == 0
    names = capsys.readouterr().out.split()
    assert names == [question.name for question in defects.QUESTIONS]
    assert len(set(names)) == len(names)


def test_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    row = Question("row", "asks", exactly(0, "loads"), (Subject(OURS, "x", float),))
    assert [answer.verdict for answer in defects.answers([row])] == [HOLDS]
    assert tuple(capsys.readouterr()) == ("", "[1/1] row\n")


def test_each_row_asks_us_and_each_rival_is_pinned() -> None:
    known = {OURS, STANDARD_LIBRARY, *pins()}
    for question in defects.QUESTIONS:
        distributions = [subject.distribution for subject in question.subjects]
        assert distributions[0] == OURS
        assert set(distributions) <= known
    assert installed_version(OURS) is not None


# The inputs tell good subjects from bad ones


class NoBreaker(Breaker):
    """Opens by counting, as most do, and lets everybody in when it is half-open."""

    distribution = what = package = "fake"

    def __init__(self, threshold: int, timeout: float) -> None:
        self.threshold = threshold
        self.timeout = timeout
        self.failures = 0
        self.open_until = 0.0

    def enter(self) -> None:
        if self.failures >= self.threshold and time.time() < self.open_until:
            raise RuntimeError("open")

    def leave(self, failed: bool) -> None:
        self.failures = self.failures + 1 if failed else 0
        self.open_until = time.time() + self.timeout

    def call(self, function: Callable[[], Any]) -> Any:
        self.enter()
        try:
            result = function()
        except BaseException:
            self.leave(True)
            raise
        self.leave(False)
        return result

    async def call_async(self, function: Callable[[], Awaitable[Any]]) -> Any:
        self.enter()
        try:
            result = await function()
        except BaseException:
            self.leave(True)
            raise
        self.leave(False)
        return result


class Locked(NoBreaker):
    """Lets one in after the other, whatever the state."""

    def __init__(self, threshold: int, timeout: float) -> None:
        super().__init__(threshold, timeout)
        self.lock = threading.Lock()

    def call(self, function: Callable[[], Any]) -> Any:
        with self.lock:
            return super().call(function)


class NeverOpen(NoBreaker):
    def enter(self) -> None:
        pass


class FixedWindow(Limiter):
    """Counts in windows of the time of day, behind a lock."""

    distribution = what = "fake"
    package = "json"

    def make(self, limit: int, period: int) -> None:
        self.limit, self.period = limit, period
        self.lock = threading.Lock()
        self.counts: dict[tuple[str, int], int] = {}

    def admits(self, key: str = "anybody") -> bool:
        with self.lock:
            window = key, int(time.time() // self.period)
            self.counts[window] = self.counts.get(window, 0) + 1
            return self.counts[window] <= self.limit


class Forgetful(FixedWindow):
    """Keeps few keys and begins with more permits than it says."""

    def make(self, limit: int, period: int) -> None:
        super().make(2 * limit, period)

    def admits(self, key: str = "anybody") -> bool:
        if len(self.counts) > 100:
            self.counts.clear()
        return super().admits(key)


class Slow(FixedWindow):
    """Loses what is left of a whole second, as rounding down does."""

    def make(self, limit: int, period: int) -> None:
        super().make(limit // period, 1)


class NoCache(Cache):
    """Asks the source each time: never wrong, but never one load for many."""

    distribution = what = "fake"

    def __init__(self, load: Callable[[Any], Any]) -> None:
        self.get = load
        self.invalidate = lambda key: None


class OneEntry(Cache):
    """Remembers one value for whatever key."""

    distribution = what = "fake"

    def __init__(self, load: Callable[[Any], Any]) -> None:
        self.load = load
        self.values: list[Any] = []
        self.invalidate = lambda key: self.values.clear()
        self.get = self.remembered

    def remembered(self, key: Any) -> Any:
        if not self.values:
            self.values.append(self.load(key))
        return self.values[0]


@pytest.mark.parametrize(
    ("name", "measure", "kind", "verdict"),
    [
        ("half-open-threads", ask_breakers.flood, NoBreaker, BREAKS),
        ("half-open-threads", ask_breakers.flood, Locked, HOLDS),
        ("half-open-threads", ask_breakers.flood, NeverOpen, FAILS),
        ("half-open-tasks", ask_breakers.flood_async, NoBreaker, BREAKS),
        ("cancelled-probe", ask_breakers.cancelled_probe, NoBreaker, BREAKS),
        (
            "cancelled-streak",
            ask_breakers.cancelled_between_failures,
            NoBreaker,
            BREAKS,
        ),
        ("interrupt", ask_breakers.interrupted, NoBreaker, BREAKS),
        ("serialised", ask_breakers.serialised, NoBreaker, HOLDS),
        ("serialised", ask_breakers.serialised, Locked, BREAKS),
        ("breaker-clock", ask_breakers.set_back, NoBreaker, BREAKS),
        ("limiter-threads", ask_limiters.threads, FixedWindow, HOLDS),
        ("limiter-threads", ask_limiters.threads, Forgetful, BREAKS),
        ("limiter-interval", ask_limiters.interval, FixedWindow, BREAKS),
        ("limiter-drift", ask_limiters.drift, FixedWindow, HOLDS),
        ("limiter-drift", ask_limiters.drift, Slow, BREAKS),
        ("limiter-churn", ask_limiters.churn, FixedWindow, HOLDS),
        ("limiter-churn", ask_limiters.churn, Forgetful, BREAKS),
        ("limiter-clock", ask_limiters.set_back, FixedWindow, HOLDS),
        ("single-flight-threads", ask_caches.misses, NoCache, BREAKS),
        ("keys-of-equal-numbers", ask_caches.numbers, NoCache, HOLDS),
        ("keys-of-equal-numbers", ask_caches.numbers, OneEntry, BREAKS),
        ("keys-of-one-repr", ask_caches.reprs, NoCache, HOLDS),
        ("keys-of-one-repr", ask_caches.reprs, OneEntry, BREAKS),
        ("keys-of-two-users", ask_caches.users, NoCache, HOLDS),
        ("keys-of-two-users", ask_caches.users, OneEntry, BREAKS),
        ("stale-load", ask_caches.stale, NoCache, HOLDS),
        ("stale-load", ask_caches.stale, OneEntry, BREAKS),
        ("failing-keys", ask_caches.failing, NoCache, HOLDS),
    ],
)
def test_the_input_tells_good_from_bad(
    name: str, measure: Callable[[Any], float], kind: Any, verdict: str
) -> None:
    (question,) = [row for row in defects.QUESTIONS if row.name == name]
    answer = asked(lambda: measure(kind), question.promise)
    assert answer.verdict == verdict, answer


# Our own side, for real


def ours(question: Question) -> Subject:
    (subject,) = [one for one in question.subjects if one.distribution == OURS]
    return subject


@pytest.mark.parametrize("question", defects.QUESTIONS, ids=lambda row: row.name)
def test_we_keep_the_promise(question: Question) -> None:
    answer = question.answer(ours(question))
    assert answer.verdict == HOLDS, (answer.measured, answer.problem)
