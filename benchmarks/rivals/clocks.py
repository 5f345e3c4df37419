"""Other clocks for packages that take none: simulated ones, and a wall clock set back.

Only what is looked up from Python is replaced, in this process. Compiled code that asks
the system by itself sees the true time.
"""

from __future__ import annotations

import datetime as real
import sys
import time
from collections.abc import Callable
from typing import Any

from cqrs_fast.testing import ManualClock

START = 1_000_000_000  # a whole number of hours and days: windows begin there
SECOND = 1_000_000_000


class SimulatedTime:
    """Seconds that pass only where `advance` says so; for cqrs_fast, use `manual`."""

    def __init__(self) -> None:
        self.now_ns = START * SECOND
        self.manual = ManualClock(float(START))

    def advance(self, milliseconds: int) -> None:
        self.now_ns += milliseconds * 1_000_000
        self.manual.advance(milliseconds / 1_000)

    def install(self, package: str) -> None:
        """Let an imported package read this time wherever it reads one."""

        def in_ns() -> int:
            return self.now_ns

        def in_seconds() -> float:
            return self.now_ns / SECOND

        _replace(
            package,
            {
                "time": in_seconds,
                "monotonic": in_seconds,
                "perf_counter": in_seconds,
                "time_ns": in_ns,
                "monotonic_ns": in_ns,
                "perf_counter_ns": in_ns,
            },
        )


def set_wall_clock_back(package: str, seconds: int) -> None:
    """Let an imported package read the time of day as it was some seconds ago."""
    now, now_ns = time.time, time.time_ns
    back = real.timedelta(seconds=seconds)

    class Datetime(real.datetime):
        @classmethod
        def now(cls, tz: real.tzinfo | None = None) -> Any:
            return real.datetime.fromtimestamp(now(), tz) - back

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now(real.UTC).replace(tzinfo=None)

    _replace(
        package,
        {
            "time": lambda: now() - seconds,
            "time_ns": lambda: now_ns() - seconds * SECOND,
        },
        Datetime,
    )


def _replace(
    package: str,
    functions: dict[str, Callable[[], float]],
    datetime: type[real.datetime] = real.datetime,
) -> None:
    replacements: dict[int, Any] = {
        id(getattr(time, name)): function for name, function in functions.items()
    }
    replacements[id(real.datetime)] = datetime
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] == package:
            for name, value in list(vars(module).items()):
                if id(value) in replacements:
                    setattr(module, name, replacements[id(value)])
    for name, function in functions.items():
        setattr(time, name, function)
    real.datetime = datetime  # type: ignore[misc]
