"""Every state that four callers can bring a circuit breaker to, on its C functions.

The functions are compiled into a shared library and walked breadth first, on a clock
that moves in whole ticks. Two states are the same if they differ in absolute times, in
what has been counted for statistics, in failures beyond the threshold and in which
caller holds which permit.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from places import TESTS

import cqrs_fast

SOURCE = TESTS / "native" / "shared" / "circuit_breaker.c"
PACKAGES = Path(cqrs_fast.__file__).parents[1]

CLOSED, OPEN, HALF_OPEN, FORCED_OPEN, DISABLED = range(5)
SUCCESS, FAILURE, IGNORED = range(3)
CALLERS = 4
TIMEOUT, LEASE = 2, 3  # ticks


class Limits(ctypes.Structure):
    _fields_ = [
        ("failure_threshold", ctypes.c_int64),
        ("success_threshold", ctypes.c_int64),
        ("half_open_max_calls", ctypes.c_int64),
        ("timeout_ns", ctypes.c_int64),
        ("probe_timeout_ns", ctypes.c_int64),
        ("max_timeout_ns", ctypes.c_int64),
        ("timeout_multiplier", ctypes.c_double),
        ("timeout_jitter", ctypes.c_double),
    ]


class Permit(ctypes.Structure):
    _fields_ = [("token", ctypes.c_uint64), ("probe", ctypes.c_int64)]


class Change(ctypes.Structure):
    _fields_ = [
        ("number", ctypes.c_uint64),
        ("failures", ctypes.c_int64),
        ("before", ctypes.c_int),
        ("after", ctypes.c_int),
    ]


class Changes(ctypes.Structure):
    _fields_ = [("made", Change * 2), ("count", ctypes.c_int)]


class Picture(ctypes.Structure):
    _fields_ = [
        ("failures", ctypes.c_int64),
        ("successes", ctypes.c_int64),
        ("probes", ctypes.c_int64),
        ("retry_after_ns", ctypes.c_int64),
        ("opened", ctypes.c_uint64),
        ("rejected", ctypes.c_uint64),
        ("late_results", ctypes.c_uint64),
        ("generation", ctypes.c_uint64),
        ("state", ctypes.c_int),
    ]


class Breaker(ctypes.Structure):
    _fields_ = [
        ("lock", ctypes.c_char),
        ("word", ctypes.c_uint64),
        ("generation", ctypes.c_uint64),
        ("failures", ctypes.c_int64),
        ("successes", ctypes.c_int64),
        ("probes", ctypes.c_uint64),
        ("leases", ctypes.c_int64 * 64),
        ("opened_at_ns", ctypes.c_int64),
        ("open_for_ns", ctypes.c_int64),
        ("plain_ns", ctypes.c_int64),
        ("transitions", ctypes.c_uint64),
        ("opened", ctypes.c_uint64),
        ("rejected", ctypes.c_uint64),
        ("late_results", ctypes.c_uint64),
        ("limits", Limits),
        ("random", ctypes.c_uint64),
        ("state", ctypes.c_int),
    ]

    def live(self) -> list[int]:
        return [index for index in range(64) if self.probes >> index & 1]


class World(NamedTuple):
    """A breaker, the time, and the permits of the calls in flight."""

    raw: bytes
    now: int
    permits: tuple[tuple[int, int], ...]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("breaker") / "breaker.so"
    compiler = os.environ.get("CC", "cc").split()
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(
        [*compiler, *flags, f"-I{PACKAGES}", str(SOURCE), "-o", str(path)],
        env={k: v for k, v in os.environ.items() if k != "LD_PRELOAD"},
        check=True,
        timeout=60,
    )
    library = ctypes.CDLL(str(path))
    library.breaker_size.restype = ctypes.c_size_t
    assert library.breaker_size() == ctypes.sizeof(Breaker)
    return library


class Explorer:
    """Take steps from a world to the next ones, and check each step."""

    def __init__(self, library: Any, limits: Limits) -> None:
        self.library = library
        self.limits = limits

    def first(self) -> World:
        breaker = Breaker()
        self.library.breaker_init(ctypes.byref(breaker), ctypes.byref(self.limits))
        return World(bytes(breaker), 100, ())

    def admit(self, breaker: Breaker, now: int) -> tuple[bool, Permit, Picture]:
        permit, seen, changes = Permit(), Picture(), Changes()
        before = breaker.state
        admitted = self.library.breaker_admit(
            ctypes.byref(breaker),
            ctypes.c_int64(now),
            ctypes.byref(permit),
            ctypes.byref(seen),
            ctypes.byref(changes),
        )
        self.check_changes(before, breaker, changes)
        return bool(admitted), permit, seen

    def look(self, breaker: Breaker, now: int) -> Picture:
        seen, changes = Picture(), Changes()
        before = breaker.state
        self.library.breaker_look(
            ctypes.byref(breaker),
            ctypes.c_int64(now),
            ctypes.byref(seen),
            ctypes.byref(changes),
        )
        self.check_changes(before, breaker, changes)
        return seen

    def check_changes(self, before: int, breaker: Breaker, changes: Changes) -> None:
        """Each transition is told once, and one follows from the other."""
        path = [before]
        for index in range(changes.count):
            change = changes.made[index]
            assert change.before == path[-1] != change.after
            assert change.number == breaker.transitions - changes.count + index + 1
            path.append(change.after)
        assert path[-1] == breaker.state

    def steps(self, world: World) -> Iterator[World]:
        yield world._replace(now=world.now + 1)
        if len(world.permits) < CALLERS:
            breaker = Breaker.from_buffer_copy(world.raw)
            admitted, permit, _ = self.admit(breaker, world.now)
            permits = world.permits
            if admitted:
                permits = (*permits, (permit.token, permit.probe))
            yield World(bytes(breaker), world.now, permits)
        for index in range(len(world.permits)):
            for outcome in (SUCCESS, FAILURE, IGNORED):
                yield self.finish(world, index, outcome)
        for state in (CLOSED, FORCED_OPEN, DISABLED):
            breaker, changes = Breaker.from_buffer_copy(world.raw), Changes()
            before = breaker.state
            self.library.breaker_force(
                ctypes.byref(breaker), state, ctypes.byref(changes)
            )
            self.check_changes(before, breaker, changes)
            assert breaker.state == state
            yield world._replace(raw=bytes(breaker))
        breaker = Breaker.from_buffer_copy(world.raw)
        self.look(breaker, world.now)
        yield world._replace(raw=bytes(breaker))

    def finish(self, world: World, index: int, outcome: int) -> World:
        old = Breaker.from_buffer_copy(world.raw)
        breaker = Breaker.from_buffer_copy(world.raw)
        token, probe = world.permits[index]
        if probe:
            # What has run out by now did so before this call ended.
            self.look(old, world.now)
            self.look(breaker, world.now)
        permit, changes = Permit(token, probe), Changes()
        self.library.breaker_record(
            ctypes.byref(breaker),
            ctypes.c_int64(world.now),
            ctypes.byref(permit),
            outcome,
            ctypes.byref(changes),
        )
        self.check_changes(old.state, breaker, changes)
        if token >> 2 != old.generation:
            old.late_results += 1
            assert bytes(breaker) == bytes(old)
        elif outcome == IGNORED:
            if probe:
                assert old.probes >> (probe - 1) & 1
                old.probes &= ~(1 << (probe - 1))
            assert bytes(breaker) == bytes(old)
        rest = world.permits[:index] + world.permits[index + 1 :]
        return World(bytes(breaker), world.now, rest)

    def key(self, world: World) -> tuple[object, ...]:
        breaker = Breaker.from_buffer_copy(world.raw)
        waiting = breaker.opened_at_ns + breaker.open_for_ns - world.now
        return (
            breaker.state,
            min(breaker.failures, self.limits.failure_threshold),
            breaker.successes,
            breaker.word & 3,
            max(waiting, -1) if breaker.state == OPEN else None,
            # An escalated timeout matters until it closes.
            breaker.plain_ns if breaker.state in (OPEN, HALF_OPEN) else None,
            # When a lease ran out matters for as long as the next opening.
            tuple(
                (index, max(breaker.leases[index] - world.now, -TIMEOUT - 1))
                for index in breaker.live()
            ),
            tuple(
                sorted(
                    (probe, token & 3) if token >> 2 == breaker.generation else (-1, 0)
                    for token, probe in world.permits
                )
            ),
        )

    def explore(self) -> list[World]:
        start = self.first()
        seen = {self.key(start)}
        worlds = [start]
        for world in worlds:
            assert len(worlds) < 100_000
            for following in self.steps(world):
                key = self.key(following)
                if key not in seen:
                    seen.add(key)
                    worlds.append(following)
        return worlds


def check_permits(explorer: Explorer, world: World) -> None:
    """Free and live probes make up the maximum, and each live one has one holder."""
    breaker = Breaker.from_buffer_copy(world.raw)
    most = explorer.limits.half_open_max_calls
    held = [
        probe - 1
        for token, probe in world.permits
        if probe and token >> 2 == breaker.generation
    ]
    live = breaker.live()
    assert sorted(held) == live
    assert len(live) <= most
    assert bool(live) <= (breaker.state == HALF_OPEN)
    if breaker.state != HALF_OPEN:
        return
    if any(breaker.leases[index] <= world.now for index in live):
        return  # it is open by now, and nobody has asked yet
    free = 0
    while explorer.admit(breaker, world.now)[0]:
        free += 1
    assert free + len(live) == most


def check_liveness(explorer: Explorer, world: World) -> None:
    """With every caller hung, time alone leads to a call that is admitted.

    Asking in between changes nothing: a look at every tick or at the last one only.
    """
    eager = Breaker.from_buffer_copy(world.raw)
    if eager.state == FORCED_OPEN:
        return
    for now in range(world.now, world.now + LEASE + TIMEOUT + 1):
        lazy = Breaker.from_buffer_copy(world.raw)
        assert bytes(explorer.look(lazy, now)) == bytes(explorer.look(eager, now))
        lazy = Breaker.from_buffer_copy(world.raw)
        asked = Breaker.from_buffer_copy(bytes(eager))
        admitted, permit, _ = explorer.admit(lazy, now)
        again, same, _ = explorer.admit(asked, now)
        assert (admitted, permit.probe) == (again, same.probe)
        assert bytes(lazy) == bytes(asked)
        if admitted:
            return
    raise AssertionError("it is stuck")


LIMITS = {
    "one": Limits(2, 1, 1, TIMEOUT, LEASE, 10**18, 1.0, 0.0),
    "two-of-two": Limits(2, 2, 2, TIMEOUT, LEASE, 10**18, 1.0, 0.0),
    "three-in-flight": Limits(1, 2, 3, TIMEOUT, LEASE, 10**18, 1.0, 0.0),
    "short-lease": Limits(1, 1, 2, LEASE, TIMEOUT, 10**18, 1.0, 0.0),
}


@pytest.mark.parametrize("name", LIMITS)
def test_every_reachable_state_keeps_its_permits_and_leads_on(
    library: Any, name: str
) -> None:
    explorer = Explorer(library, LIMITS[name])
    worlds = explorer.explore()
    states = {Breaker.from_buffer_copy(world.raw).state for world in worlds}
    assert states == {CLOSED, OPEN, HALF_OPEN, FORCED_OPEN, DISABLED}
    assert max(len(world.permits) for world in worlds) == CALLERS
    for world in worlds:
        check_permits(explorer, world)
        check_liveness(explorer, world)
