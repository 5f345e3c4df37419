"""What a profile needs: the right build, and tools of the extra `profile`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import cqrs_fast
from benchmarks.environment import ROOT
from cqrs_fast.cli.machine import refusal

BUILD = ROOT / "build"
EXTRA = 'pip install "cqrs-fast[profile]"'


def require(mode: str) -> None:
    """End the program unless the compiled modules were built in that mode."""
    build = cqrs_fast.build_info()
    reason = None
    if mode == "release":
        reason = refusal(build)
    elif build["mode"] != mode:
        reason = (
            f"this is a {build['mode']} build, in which no line can be told: run "
            f"`make {mode}` first, and `make build` afterwards"
        )
    if reason is not None:
        sys.exit(f"no profile: {reason}")
    BUILD.mkdir(exist_ok=True)


def tool(name: str) -> str | None:
    """Return the path of a tool, of this environment if it is there."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


def say(what: str) -> None:
    """Tell how far the work is; what it yields goes to standard output."""
    print(what, file=sys.stderr, flush=True)
