"""What holds for the whole run."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable
from typing import Any

import pytest
from foreign import compiled

from cqrs_fast.base import callbacks

# A shell starts background jobs with SIGINT ignored, and children inherit that: the
# tests that send a real one need it whatever started them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Leave what was imported out of the collections that hundreds of tests ask for."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup() -> None:
    """Let each test see what is logged once a second, whatever ran just before it."""
    callbacks._last.clear()


@pytest.fixture(scope="session")
def revise(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Return `revise(stage, **settings)`: the Change of compiled/revising.pyx."""
    module = compiled("revising", tmp_path_factory.mktemp("revising"))
    found: Callable[..., Any] = module.revise
    return found
