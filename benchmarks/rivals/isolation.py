"""Common to all uses of rivals: their versions, and a separate process for each."""

from __future__ import annotations

import multiprocessing
import os
import platform
import re
import warnings
from collections.abc import Callable
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import cqrs_fast
from benchmarks.environment import without_folders

OURS = "cqrs-fast"
STANDARD_LIBRARY = "functools"
PINS = Path(__file__).with_name("requirements.txt")
ABSENT = "not installed"

T = TypeVar("T")


def installed_version(distribution: str) -> str | None:
    """Return a version, None for what is not installed."""
    if distribution == OURS:
        version = cqrs_fast.build_info()["version"]
        return "in place" if version == "unknown" else version
    if distribution == STANDARD_LIBRARY:
        return platform.python_version()
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def pins() -> dict[str, str]:
    """Return which version of each rival the benchmarks were written for."""
    lines = PINS.read_text()
    return dict(re.findall(r"^([\w-]+)==([^\s;]+)", lines, re.MULTILINE))


def in_child(measure: Callable[[], T], patience: float) -> tuple[T | None, str]:
    """Return what was measured, or None and why there is nothing.

    In a process of its own a subject may hang, crash, patch the clock or leave threads
    behind without any harm to the next.
    """
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_report, args=(measure, sender))
    with warnings.catch_warnings():
        # Python 3.12 warns where threads are alive; none of ours holds a lock here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    sender.close()
    try:
        if not receiver.poll(patience):
            return None, f"hangs: none within {patience:g} s"
        answer: tuple[T | None, str] = receiver.recv()
        return answer
    except EOFError:
        return None, "its process died"
    finally:
        child.kill()
        child.join()
        receiver.close()


def _report(measure: Callable[[], Any], sender: Connection) -> None:
    # What a subject prints or logs belongs to no table.
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        sender.send((measure(), ""))
    except BaseException as error:
        sender.send((None, without_folders(f"{type(error).__name__}: {error}")[:200]))
    # Threads that a subject left behind are not waited for.
    os._exit(0)
