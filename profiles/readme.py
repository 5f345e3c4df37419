"""Run the commands of profiles/README.md, and put what they print below them.

    python -m profiles.readme [--only TEXT]

A command stands in a comment, `<!-- output: python -m … -->`; what it prints goes
between that and `<!-- /output -->`, below the commit that was profiled. In the profile
build these are the commands of profiles.cpu, in the release build all others; `--only`
chooses those with TEXT in them.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cqrs_fast
from benchmarks.environment import ROOT, commit
from profiles.needs import say

README = Path(__file__).with_name("README.md")
BLOCK = re.compile(r"<!-- output: (?P<command>.+?) -->\n.*?<!-- /output -->", re.S)


def replaced(
    text: str,
    run: Callable[[str], str],
    chosen: Callable[[str], bool],
    commit: str,
) -> str:
    """Return the text with the output of the commands that are chosen."""

    def block(match: re.Match[str]) -> str:
        command = match["command"]
        if not chosen(command):
            return match[0]
        head = f"$ {command}\n# commit {commit}"
        printed = f"```text\n{head}\n{run(command).rstrip()}\n```"
        return f"<!-- output: {command} -->\n{printed}\n<!-- /output -->"

    return BLOCK.sub(block, text)


def output(command: str) -> str:
    """Run a command of this tree's Python; return what it printed."""
    say(f"$ {command}")
    program, *arguments = shlex.split(command)
    if program != "python":
        sys.exit(f"{README}: not a command for Python: {command}")
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(f"{README} is left as it was: {command} ended with {done.returncode}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m profiles.readme")
    parser.add_argument("--only", default="", help="commands with this in them")
    options = parser.parse_args()
    profiling = cqrs_fast.build_info()["mode"] == "profile"

    def chosen(command: str) -> bool:
        return ("profiles.cpu" in command) is profiling and options.only in command

    README.write_text(replaced(README.read_text(), output, chosen, commit()))


if __name__ == "__main__":
    main()
