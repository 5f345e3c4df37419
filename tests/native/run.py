"""Compile the C programs of this folder and run them; the exit status tells.

    python run.py [--sanitize thread|address,undefined] [--operations N] [--threads N]
                  [--seed N] [--include FOLDER] [name ...]

Each program is self-contained, takes threads, operations of each thread and a seed as
arguments, and ends with 0 if its checks held. FOLDER holds the cqrs_fast package.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent


def compile_program(
    source: Path, folder: Path, include: Path, sanitize: str | None = None
) -> Path:
    """Compile one program into `folder` and return its path."""
    program = folder / source.stem
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", "-Werror"]
    if sanitize is not None:
        flags += [f"-fsanitize={sanitize}", "-fno-sanitize-recover=all"]
    compiler = os.environ.get("CC", "cc").split()
    files = [f"-I{include}", str(source), "-o", str(program)]
    run([*compiler, *flags, *files, "-pthread", "-lm"])
    return program


def run(command: list[str]) -> str:
    """Run a command; return its output, or raise SystemExit with it."""
    # A sanitizer that is preloaded into this process has no business there.
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.returncode}\n{output}")
    return output


def launcher(sanitize: str | None) -> list[str]:
    """Return what a program is started with.

    ThreadSanitizer finds no room for its shadow where addresses are very random.
    """
    if sanitize == "thread" and shutil.which("setarch") is not None:
        probe = ["setarch", "-R", "true"]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return ["setarch", "-R"]
    return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sanitize", choices=["thread", "address,undefined"])
    parser.add_argument("--operations", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--include", type=Path, default=SOURCES.parents[1])
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    names = options.names or sorted(path.stem for path in SOURCES.glob("*.c"))
    arguments = [str(options.threads), str(options.operations), str(options.seed)]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            program = compile_program(
                SOURCES / f"{name}.c", Path(folder), options.include, options.sanitize
            )
            output = run([*launcher(options.sanitize), str(program), *arguments])
            sys.stdout.write(output)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
