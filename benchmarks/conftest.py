"""Refuse what is no release build, and note with every result where it comes from."""

from __future__ import annotations

from typing import Any

import pytest

import cqrs_fast
from benchmarks.environment import commit, environment
from benchmarks.suite import parameters
from cqrs_fast.cli.machine import refusal


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("python_files", "bench_*.py")
    reason = refusal(cqrs_fast.build_info())
    if reason is not None:
        pytest.exit(f"no benchmarks: {reason}", returncode=pytest.ExitCode.USAGE_ERROR)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "row" in metafunc.fixturenames and "part" in metafunc.fixturenames:
        metafunc.parametrize(("row", "part"), parameters(metafunc.module.ROWS))


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info.update(environment())


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_commit_info(commit_info: dict[str, Any]) -> None:
    commit_info["cqrs_fast"] = commit()
