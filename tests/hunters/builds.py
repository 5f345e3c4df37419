"""Hunt in every build, on every Python that is found, each in a copy of the sources.

The copies and their environments lie in build/hunt and are used again; the build in
place is left alone. What is not found, or cannot be built, is said and in the table.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hunters.hunting import Effort

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "build" / "hunt"
MODES = ("release", "debug", "asan")
VERSIONS = ("3.11", "3.12", "3.13")
COPIED = ("cqrs_fast", "examples", "tests", "setup.py")
COPIED_TOO = ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")
# Of these a whole hunt takes a multiple of its time: the schedules are fewer.
FEWER = {"debug": 10, "asan": 50}


def everywhere(
    chosen: list[str],
    effort: Effort,
    modes: list[str] | None,
    versions: list[str] | None,
) -> Iterator[dict[str, Any]]:
    """Hunt in all builds on all Pythons, or in the given ones; yield each row."""
    for version in versions or VERSIONS:
        python = find_python(version)
        if python is None:
            print(f"Python {version}: not found")
            yield {"python": version, "missing": "there is no such Python here"}
            continue
        for mode in modes or MODES:
            print(f"\n== {mode} build on Python {version}", flush=True)
            try:
                copy = prepared(python, version, mode)
            except subprocess.CalledProcessError as error:
                print(f"not built: {error}")
                yield {"python": version, "mode": mode, "missing": "it cannot be built"}
                continue
            for name in chosen:
                yield hunted(copy, version, mode, name, effort)


def find_python(version: str) -> str | None:
    """Find an interpreter: this one, one of the path, or one of pyenv."""
    pyenv = os.path.expanduser(f"~/.pyenv/versions/{version}.*/bin/python3")
    for candidate in (sys.executable, f"python{version}", *sorted(glob.glob(pyenv))):
        try:
            told = subprocess.run(
                [candidate, "-c", "import sys; print(*sys.version_info[:2], sep='.')"],
                capture_output=True,
                text=True,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        if told.stdout.strip() == version:
            return candidate
    return None


def prepared(python: str, version: str, mode: str) -> Path:
    """Build in a copy; return the copy's folder."""
    copy = PLACE / f"{version}-{mode}"
    copy_sources(copy)
    interpreter = environment_of(python, version)
    subprocess.run(
        [interpreter, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=copy,
        env={**os.environ, "CQRS_FAST_BUILD": mode},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return copy


def copy_sources(copy: Path) -> None:
    """Copy what differs, so that only what changed is built again."""
    built = shutil.ignore_patterns("*.so", "__pycache__", "*.pyc", "build")
    for name in (*COPIED, *COPIED_TOO):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source,
                copy / name,
                ignore=built,
                copy_function=copy_changed,
                dirs_exist_ok=True,
            )
        else:
            copy.mkdir(parents=True, exist_ok=True)
            copy_changed(str(source), str(copy / name))
    for path in [*copy.glob("cqrs_fast/**/*"), *copy.glob("tests/**/*.py")]:
        original = ROOT / path.relative_to(copy)
        is_source = path.suffix in (".py", ".pyi", ".pyx", ".pxd", ".h")
        if is_source and not original.exists():
            path.unlink()
            for stale in path.parent.glob(f"{path.stem}.*.so"):
                stale.unlink()


def copy_changed(source: str, target: str) -> None:
    is_new = not os.path.exists(target)
    if is_new or os.stat(source).st_mtime != os.stat(target).st_mtime:
        shutil.copy2(source, target)


def environment_of(python: str, version: str) -> str:
    """Return the interpreter of an environment with what building and testing needs."""
    place = PLACE / f"venv-{version}"
    interpreter = str(place / "bin" / "python")
    wanted = requirements()
    stamp = place / "requirements"
    if stamp.exists() and stamp.read_text() == "\n".join(wanted):
        return interpreter
    subprocess.run([python, "-m", "venv", str(place)], check=True)
    pip = [interpreter, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, *wanted], check=True)
    stamp.write_text("\n".join(wanted))
    return interpreter


def requirements() -> list[str]:
    """Return what pyproject.toml says that running, building and testing needs."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        settings = tomllib.load(file)
    project = settings["project"]
    wanted = [*project["dependencies"], *settings["build-system"]["requires"]]
    wanted += project["optional-dependencies"]["test"]
    own = re.compile(r"cqrs-fast\b")
    return sorted({name for name in wanted if not own.match(name)})


def hunted(
    copy: Path, version: str, mode: str, name: str, effort: Effort
) -> dict[str, Any]:
    """Let one hunter hunt in a copy; return its row."""
    python = str(PLACE / f"venv-{version}" / "bin" / "python")
    schedules = max(effort.schedules // FEWER.get(mode, 1), 1)
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "rows.json"
        command = [python, "-m", "tests.hunters", "--hunter", name]
        command += ["--seed", str(effort.seed), "--schedules", str(schedules)]
        command += ["--json", str(told)] + ([] if effort.whole else ["--short"])
        subprocess.run(command, cwd=copy, env=surroundings(mode, copy), check=False)
        if told.exists():
            rows: list[dict[str, Any]] = json.loads(told.read_text())
            return rows[0]
    row = {"hunter": name, "python": version, "mode": mode}
    return {**row, "missing": "the run itself died"}


def surroundings(mode: str, copy: Path) -> dict[str, str]:
    """Return the environment that a build runs in, as `make asan` has it."""
    found = {**os.environ, "PYTHONPATH": str(copy)}
    if mode == "asan":
        compiler = os.environ.get("CC", "cc")
        library = subprocess.run(
            [compiler, "-print-file-name=libasan.so"],
            capture_output=True,
            text=True,
            check=True,
        )
        found["LD_PRELOAD"] = library.stdout.strip()
        # A signal is what tells of a fault.
        found["ASAN_OPTIONS"] = "detect_leaks=0:abort_on_error=1"
        found["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1:abort_on_error=1"
        found["PYTHONMALLOC"] = "malloc"
    return found
