"""The machine and the build of a measurement, and the builds that are not measured."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

from cqrs_fast.base.build import build_info
from cqrs_fast.cli.problem import Problem


def refusal(
    build: Mapping[str, str], modes: tuple[str, ...] = ("release",)
) -> str | None:
    """Return why a build cannot be measured; None for one of the `modes`."""
    if build["mode"] in modes:
        return None
    return (
        f"this is a {build['mode']} build, whose times say nothing about a release "
        "build: run `make build` first"
    )


def require_build(what: str, *modes: str) -> None:
    """Raise Problem, which begins with `what`, for a build of another mode."""
    reason = refusal(build_info(), modes)
    if reason is not None:
        raise Problem(f"no {what}: {reason}")


def cpu_model() -> str:
    """Return the name of the processor, if the system has it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine() -> dict[str, str]:
    """Return the facts that every number depends on."""
    build = build_info()
    return {
        "cpu": cpu_model(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "interpreter": f"{platform.python_implementation()} "
        f"{platform.python_version()}",
        "cqrs_fast": build["version"],
        "build": build["mode"],
        "flags": build["flags"],
    }
