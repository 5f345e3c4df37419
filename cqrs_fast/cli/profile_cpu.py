"""Let py-spy watch a process that keeps a bus busy."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from cqrs_fast.cli.console import Meter, Style
from cqrs_fast.cli.exercise import writable
from cqrs_fast.cli.problem import Problem

RATE = 250  # samples in a second
LAST_WORDS = 15  # lines of what py-spy said that are shown
PATIENCE = 10.0  # seconds to end in, once it is asked to
OUTPUTS = {"flamegraph": "profile.svg", "speedscope": "profile.speedscope.json"}
NO_PY_SPY = (
    "py-spy is not installed: pip install 'cqrs-fast[profile]', or pip install py-spy; "
    "--memory does without"
)
NO_RIGHTS = (
    "py-spy may not look into the process it started: run the command as root "
    "(sudo -E), allow it (Linux: sysctl kernel.yama.ptrace_scope=0; in a container: "
    "--cap-add SYS_PTRACE), or use --memory, which needs no rights"
)
REFUSED = ("permission denied", "operation not permitted", "requires root", "eperm")

Told = tuple[list[str], list[tuple[str, str]]]


def profile_cpu(arguments: argparse.Namespace) -> Told:
    """Write the flame graph; return what to say, and what to know. Raises Problem."""
    py_spy = find_py_spy()
    output = writable(arguments.output or OUTPUTS[arguments.format])
    with tempfile.TemporaryDirectory() as folder:
        drawn, report = Path(folder, "drawn"), Path(folder, "report.json")
        command = [
            *(py_spy, "record", "--output", str(drawn)),
            *("--format", arguments.format, "--rate", str(RATE)),
            *(["--native"] if arguments.native else []),
            *("--", sys.executable, "-m", "cqrs_fast.cli.exercise"),
            *(str(arguments.seconds), str(report), arguments.target),
            *(arguments.messages or "", "run" if arguments.run_handlers else ""),
        ]
        said = watched(command, arguments.seconds)
        told = json.loads(report.read_text()) if report.exists() else {}
        if "problem" in told:
            raise Problem(told["problem"])
        if not drawn.exists() or not told:
            raise failure(said)
        try:
            shutil.copyfile(drawn, output)
        except OSError as error:
            raise Problem(f"cannot write {output}: {error.strerror}") from None
    how = "open it in a browser"
    if arguments.format == "speedscope":
        how = "open it at https://www.speedscope.app"
    line = f"wrote {output}: {how}; the wider a box, the more of the time it took"
    return [Style(sys.stdout).fit(line)], [tuple(note) for note in told["notes"]]


def find_py_spy() -> str:
    """Return the program, from this environment first. Raises Problem."""
    own = shutil.which("py-spy", path=sysconfig.get_path("scripts"))
    found = own or shutil.which("py-spy")
    if found is None:
        raise Problem(NO_PY_SPY)
    return found


def watched(command: list[str], seconds: float) -> str:
    """Run py-spy to its end; return what it and the process it watched have said."""
    # The process imports the bus as this one would: from here, and from our own path.
    path = os.pathsep.join([os.getcwd(), *(part for part in sys.path if part)])
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        with ended(
            subprocess.Popen(
                command,
                stdout=said,
                stderr=said,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,
            )
        ) as process, Meter(sys.stderr) as meter:
            started = monotonic()
            while True:
                share = min((monotonic() - started) / seconds, 1.0)
                meter.update(share, "py-spy is watching")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
                    break
        said.seek(0)
        return said.read()


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Leave no process behind, and none that it has started, whatever happens."""
    try:
        yield process
    finally:
        if process.poll() is None:
            for number in (signal.SIGINT, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE)
                    break


def failure(said: str) -> Problem:
    """Return what to say where py-spy gave nothing."""
    lines = [line for line in said.splitlines() if line.strip()]
    shown = "".join(f"\n  {line}" for line in lines[-LAST_WORDS:])
    if any(word in said.lower() for word in REFUSED):
        return Problem(f"{NO_RIGHTS}; it said:{shown}")
    return Problem(f"py-spy gave no result; it said:{shown or ' nothing'}")
