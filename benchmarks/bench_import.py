"""How long does `import cqrs_fast` take in a fresh interpreter?"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import Any

from benchmarks.suite import run_probe
from benchmarks.table import Difference, Table

SCRIPT = """
import sys, time
started = time.perf_counter_ns()
import {module}
print((time.perf_counter_ns() - started) / 1e6)
"""


def import_ms(module: str) -> float:
    """Return the milliseconds of one import, without the interpreter's own start."""
    # Installed packages have their byte code, which the first round writes otherwise.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return float(done.stdout)


ROWS = Table(
    [
        Difference(
            "`import cqrs_fast`",
            against="`import msgspec`",
            unit="ms",
            case=partial(import_ms, "cqrs_fast"),
            baseline=partial(import_ms, "msgspec"),
            ceiling=15.0,
        )
    ]
)


def test_import(benchmark: Any, row: Difference, part: str) -> None:
    run_probe(benchmark, row, part)
