"""Where a result comes from: without it a number says nothing."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
import shlex
import subprocess
import sys
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import cqrs_fast
from cqrs_fast.cli.machine import cpu_model

ROOT = Path(__file__).parents[1]
PACKAGES = ("msgspec", "uvloop", "pytest-benchmark", "matplotlib")
# Of an absolute path; what follows the colon of a URL begins with two slashes.
FOLDERS = re.compile(r"(?<![\w./])(?:/[\w.@+-]+)+/(?=[\w.+-])")


def tell(text: str) -> None:
    """Print what a long run is about to do."""
    print(text, file=sys.stderr, flush=True)


def environment() -> dict[str, Any]:
    """Return what a result depends on besides the code."""
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "interpreter": interpreter(),
        "build": build(),
        "packages": packages(),
    }


def build() -> dict[str, Any]:
    """Return how the package was built, with the version of a checkout too."""
    found: dict[str, Any] = dict(cqrs_fast.build_info())
    if found.get("version") == "unknown":
        with contextlib.suppress(OSError, KeyError):
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            found["version"] = project["version"]
    return found


def packages() -> dict[str, str]:
    """Return the versions of what runs or measures the cases, where installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def interpreter() -> dict[str, str]:
    """Return how the running interpreter was made, without the folders it lies in."""
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "built": " ".join(platform.python_build()),
        "compiler": platform.python_compiler(),
        "configured": flags("CONFIG_ARGS"),
        "flags": flags("PY_CFLAGS"),
        "gil": "yes" if getattr(sys, "_is_gil_enabled", lambda: True)() else "no",
    }


def flags(name: str) -> str:
    value = sysconfig.get_config_var(name) or ""
    return " ".join(flag for flag in shlex.split(value) if "/" not in flag)


def resident_bytes() -> int:
    """Return the resident memory, or its peak if the system reports only that."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except FileNotFoundError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return pages * os.sysconf("SC_PAGE_SIZE")


def commit() -> str:
    """Return the commit that was measured; a `+` says that files differ from it."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "cqrs_fast")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def without_folders(text: str) -> str:
    """Return a text without the folders of this machine before the names of files."""
    return FOLDERS.sub("", text.replace(f"{ROOT}/", ""))


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
