"""Count instructions with valgrind, by function, in dumps that a program asks for.

A release build has no names of functions in it. So what `make build` compiled is linked
once more, with its names, and that is run: the code in it is compared and is the same.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cqrs_fast
from benchmarks.environment import ROOT
from benchmarks.symbols import title

LABEL = "desc: Trigger: Client Request: "
PACKAGE = Path(cqrs_fast.__file__).parent
REQUESTS = """
#include <valgrind/callgrind.h>
void start_counting(void) { CALLGRIND_START_INSTRUMENTATION; }
void start_anew(void) { CALLGRIND_ZERO_STATS; }
void dump(const char *label) { CALLGRIND_DUMP_STATS_AT(label); }
"""


class Unavailable(Exception):
    """What is missing here for counting, or for naming what is counted."""


@dataclass
class Dump:
    """What was counted between two requests: instructions of each function itself."""

    label: str
    functions: Counter[str]


def parse(text: str) -> Dump:
    """Read a dump in callgrind's format, written without compression of its names."""
    label = ""
    functions: Counter[str] = Counter()
    binary = function = ""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(LABEL):
            label = line.removeprefix(LABEL)
        elif line.startswith("ob="):
            binary = line[3:]
        elif line.startswith("fn="):
            function = line[3:]
        elif line.startswith("calls="):
            # The next line is what the called function cost, with all that it called.
            next(lines, None)
        elif line[:1].isdigit():
            functions[title(binary, function)] += int(line.split()[-1])
    return Dump(label, functions)


def counted(module: str, folder: Path, package: Path) -> Iterator[Dump]:
    """Run a module under callgrind, with that package; yield what it dumped."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise Unavailable("there is no valgrind (on Debian: apt-get install valgrind)")
    requests = compiled_requests(folder)
    for old in folder.glob("dump.*"):
        old.unlink()
    command = [
        valgrind,
        "--tool=callgrind",
        "--instr-atstart=no",
        "--compress-strings=no",
        "--compress-pos=no",
        f"--callgrind-out-file={folder / 'dump'}",
        *(sys.executable, "-P", "-m", module, str(requests)),
    ]
    path = os.pathsep.join([str(package.parent), str(ROOT)])
    # Nothing of the caller's environment, which would move what lies in memory.
    environment = {"PATH": os.defpath, "PYTHONHASHSEED": "0", "PYTHONPATH": path}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)} failed:\n{done.stderr[-4_000:]}")
    for dump in sorted(folder.glob("dump.*"), key=lambda path: int(path.suffix[1:])):
        yield parse(dump.read_text())


def compiled_requests(folder: Path) -> Path:
    """Compile the library through which a program talks to callgrind."""
    source, library = folder / "requests.c", folder / "requests.so"
    source.write_text(REQUESTS)
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    failure = failed([*compiler, "-shared", "-fPIC", "-O2", source, "-o", library])
    if failure:
        raise Unavailable(f"what talks to callgrind does not compile: {failure}")
    return library


def with_names(folder: Path) -> Path:
    """Copy the package with the names of its functions; return where it lies."""
    target = folder / "cqrs_fast"
    shutil.rmtree(target, ignore_errors=True)
    for path in PACKAGE.rglob("*.py"):
        copy = target / path.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for built in sorted(PACKAGE.rglob("*.so")):
        link_again(built, target / built.relative_to(PACKAGE))
    return target


def link_again(built: Path, target: Path) -> None:
    """Link a compiled module from what `make build` left of it, and compare."""
    name = f"{built.name.split('.')[0]}.o"
    source = built.relative_to(PACKAGE.parent).with_name(name)
    linker = shlex.split(sysconfig.get_config_var("LDSHARED"))
    for compiled in ROOT.glob(f"build/*/build/cython-release/{source}"):
        failure = failed([*linker, "-Wl,-z,relro,-z,now", compiled, "-o", target])
        if failure:
            raise Unavailable(failure)
        if code_of(target) == code_of(built):
            return
    raise Unavailable(f"build/ has no object file of which {built.name} was linked")


def code_of(path: Path) -> bytes:
    """Return the machine code of a shared library."""
    code = path.parent / "code.bin"
    copying = shlex.split("objcopy -O binary --only-section=.text")
    try:
        failure = failed([*copying, path, code])
        if failure:
            raise Unavailable(failure)
        return code.read_bytes()
    finally:
        code.unlink(missing_ok=True)


def failed(command: Iterable[str | Path]) -> str | None:
    """Run a command; return the first line of what went wrong, if it did."""
    arguments = [str(argument) for argument in command]
    try:
        done = subprocess.run(arguments, capture_output=True, text=True)
    except FileNotFoundError:
        return f"there is no {arguments[0]}"
    if done.returncode == 0:
        return None
    return (done.stderr.strip() or f"{arguments[0]} failed").splitlines()[0]
