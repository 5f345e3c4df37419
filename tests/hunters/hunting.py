"""How scenarios run: each in a process of its own, which may die or hang.

A hunter asks for scenarios by name. A nursery, a fresh interpreter, forks one process
for each of them, waits as long as the hunter says, and answers what became of it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import mmap
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TextIO

TESTS = Path(__file__).parents[1]

ADDR_NO_RANDOMIZE = 0x0040000  # of sys/personality.h
MOST_NOTE_BYTES = 400
# Shared with the process that a scenario runs in, which tells there how far it came.
_noted = mmap.mmap(-1, MOST_NOTE_BYTES)


def note(text: str) -> None:
    """Tell the part of the scenario that is about to run; a fault then names it."""
    _noted.seek(0)
    _noted.write(text.encode()[: MOST_NOTE_BYTES - 1].ljust(MOST_NOTE_BYTES, b"\0"))


def noted() -> str:
    return _noted[:MOST_NOTE_BYTES].rstrip(b"\0").decode(errors="replace")


# What happened in the scenario of this process, and how often.
seen: Counter[str] = Counter()


class Ending(NamedTuple):
    """What became of a scenario.

    Attributes:
        answer: what it returned; None if it is a fault.
        fault: a signal, a hang or an error in a few words; None if all is well.
        at: the part that it noted last, or "".
        told: what it wrote, a native or Python traceback among it.
        seen: what happened in it, and how often.
    """

    answer: str | None
    fault: str | None
    at: str
    told: str
    seen: Mapping[str, int]


Ask = Callable[[str], Ending]


class Hunter(NamedTuple):
    """One kind of scenario.

    Attributes:
        name: in commands.
        title: what it does in a few words.
        run: runs the scenario of a name in this process; raises where a promise broke.
        hunt: asks for all its scenarios: `hunt(ask, effort)`.
        seconds: a scenario that takes longer hangs.
        excuse: tells what CPython or msgspec did wrong in a scenario; None if nothing.
    """

    name: str
    title: str
    run: Callable[[str], str]
    hunt: Callable[[Ask, Effort], None]
    seconds: float
    excuse: Callable[[str], str | None] = lambda scenario: None


class Effort(NamedTuple):
    """How much to look at.

    Attributes:
        whole: all scenarios; else those of the short form.
        seed: of the schedules, and of what the short form picks.
        schedules: how many of them.
        most_faults: a hunter that has found more gives up.
    """

    whole: bool
    seed: int
    schedules: int
    most_faults: int


class GiveUp(Exception):
    """There are so many faults that more of them tell nothing."""


class Fault(NamedTuple):
    scenario: str
    what: str
    told: str


class Nursery:
    """A fresh interpreter that forks a process for each scenario of one hunter."""

    def __init__(self, hunter: Hunter) -> None:
        self.hunter = hunter
        self.process: subprocess.Popen[str] | None = None

    def ask(self, scenario: str) -> Ending:
        """Run a scenario and tell what became of it."""
        process = self.process or self.start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(scenario + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            self.close()
            return Ending(None, "the nursery died", "", "", {})
        return Ending(*json.loads(line))

    def start(self) -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hunters.nursery", self.hunter.name],
            cwd=TESTS,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=fix_addresses,
        )
        return self.process

    def close(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.communicate()

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def fix_addresses() -> None:
    """Let the next program of this process lie at the same addresses each time.

    The order of what is hashed by its address depends on them, and so does which
    allocation is the k-th. Debuggers do the same. It is Linux's.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE)


def environment() -> dict[str, str]:
    """Return the environment in which the package and the hunters are found."""
    folders = (TESTS / "support", TESTS, TESTS.parent)
    path = [*map(str, folders), *filter(None, sys.path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONHASHSEED": "0"}


class Hunt(NamedTuple):
    """What a hunter found.

    Attributes:
        scenarios: how many ran.
        faults: those of this library.
        excused: those of others, as its name and what they did wrong.
        seen: what happened in the scenarios, and how often.
    """

    scenarios: int
    faults: list[Fault]
    excused: list[tuple[str, str]]
    seen: Counter[str]


def hunt(
    hunter: Hunter, effort: Effort, tell: Callable[[Hunt], Any] = lambda hunt: None
) -> Hunt:
    """Let a hunter ask for its scenarios; `tell` hears of the progress."""
    faults: list[Fault] = []
    excused: list[tuple[str, str]] = []
    happened: Counter[str] = Counter()
    scenarios = 0
    with Nursery(hunter) as nursery:

        def ask(scenario: str) -> Ending:
            nonlocal scenarios
            ending = nursery.ask(scenario)
            # What came after a fault did not run.
            run = scenario.partition(ending.at)[0] if ending.fault else scenario
            scenarios += weight(run)
            if ending.fault is not None:
                part = ending.at or scenario
                wrong = hunter.excuse(part)
                if wrong is None:
                    faults.append(Fault(part, ending.fault, ending.told))
                else:
                    excused.append((part, wrong))
            happened.update(ending.seen)
            tell(Hunt(scenarios, faults, excused, happened))
            if len(faults) > effort.most_faults:
                raise GiveUp
            return ending

        with suppress(GiveUp):
            hunter.hunt(ask, effort)
    return Hunt(scenarios, faults, excused, happened)


# Between the parts of a scenario that one process runs.
AND = " & "


def ask_together(ask: Ask, parts: list[str]) -> None:
    """Ask for many small scenarios in one process; after a fault, for the rest."""
    left = list(parts)
    while left:
        ending = ask(AND.join(left))
        if ending.fault is None:
            return
        done = left.index(ending.at) + 1 if ending.at in left else len(left)
        left = left[done:]


def run_parts(run: Callable[[str], Any]) -> Callable[[str], str]:
    """Make `Hunter.run` of what runs one part."""

    def run_all(scenario: str) -> str:
        for part in scenario.split(AND):
            note(part)
            run(part)
            gc.collect()
        return "done"

    return run_all


def weight(scenario: str) -> int:
    """Return how many parts a scenario has."""
    return scenario.count(AND) + 1


def command(hunter: Hunter, scenario: str) -> str:
    """Return the command that runs a scenario again."""
    return f"python -m tests.hunters --hunter {hunter.name} --scenario '{scenario}'"


def wait_for(pid: int, seconds: float) -> tuple[int, bool]:
    """Wait for a child; return its exit code (negative: a signal), and if it hung."""
    end = time.monotonic() + seconds
    pause = 0.0002
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), False
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return -signal.SIGKILL, True
        time.sleep(pause)
        pause = min(pause * 1.2, 0.01)


def show(faults: list[Fault], hunter: Hunter, out: TextIO, most: int = 20) -> None:
    """Print faults with the command that repeats each."""
    for fault in faults[:most]:
        print(f"\nFAULT {hunter.name} {fault.scenario}: {fault.what}", file=out)
        print(f"  {command(hunter, fault.scenario)}", file=out)
        for line in fault.told.strip().splitlines()[-12:]:
            print(f"    {line}", file=out)
    if len(faults) > most:
        print(f"\n... and {len(faults) - most} more faults:", file=out)
        for fault in faults[most:]:
            print(f"  {fault.scenario}: {fault.what}", file=out)
