"""The decisions in plain C, hammered by threads without an interpreter in between."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cqrs_fast

NATIVE = Path(__file__).parent
PACKAGES = Path(cqrs_fast.__file__).parents[1]
PROGRAMS = sorted(path.stem for path in NATIVE.glob("*.c"))
OPERATIONS = 20_000


def test_there_is_a_program_for_each_policy_that_is_all_c() -> None:
    assert "circuit_breaker" in PROGRAMS


@pytest.mark.parametrize("name", PROGRAMS)
def test_checks_of_the_program_hold(name: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            str(NATIVE / "run.py"),
            f"--include={PACKAGES}",
            f"--operations={OPERATIONS}",
            name,
        ],
        # A sanitizer that is preloaded into this process has no business there.
        env={k: v for k, v in os.environ.items() if k != "LD_PRELOAD"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
