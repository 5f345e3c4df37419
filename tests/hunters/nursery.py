"""Fork a process for each scenario whose name comes on stdin; see hunting.py.

    python -m hunters.nursery HUNTER [SECONDS, if they are not the hunter's]
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import signal
import sys
import tempfile
import traceback
from typing import Any

from hunters.hunters import HUNTERS
from hunters.hunting import Ending, Hunter, note, noted, seen, wait_for

from cqrs_fast import build_info

# What a scenario that raised exits with.
RAISED = 97
# Builds that check much are slower.
PATIENCE = 1 if build_info()["mode"] == "release" else 6


def main(name: str, *seconds: str) -> None:
    hunter = HUNTERS[name]
    if seconds:
        hunter = hunter._replace(seconds=float(seconds[0]))
    gc.freeze()
    for line in sys.stdin:
        ending = raised(hunter, line.rstrip("\n"))
        print(json.dumps(ending), flush=True)


def raised(hunter: Hunter, scenario: str) -> Ending:
    """Bring up a process, let it run the scenario, and look how it ends."""
    note("")
    seconds = hunter.seconds * PATIENCE
    # Unbuffered files: what a dying process wrote is there.
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as answered:
        pid = os.fork()
        if pid == 0:
            live(hunter, scenario, seconds, told, answered)
        code, hung = wait_for(pid, seconds)
        text, written = content(told), content(answered)
    answer, happened = json.loads(written) if written else ("", {})
    fault = None
    if hung:
        fault = f"hangs: no end within {seconds:g} s"
    elif code < 0:
        fault = signal.Signals(-code).name
    elif code == RAISED:
        fault = answer
    elif code != 0:
        fault = f"exits with {code}"
    kept = answer if fault is None else None
    return Ending(kept, fault, noted(), text[-6000:], happened)


def live(
    hunter: Hunter, scenario: str, seconds: float, told: Any, answered: Any
) -> None:
    """Run a scenario in this process and end it."""
    code = 0
    try:
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
        faulthandler.enable(told.fileno())
        faulthandler.dump_traceback_later(seconds * 0.9, file=told.fileno())
        answer = hunter.run(scenario)
    except BaseException as error:
        code = RAISED
        answer = f"{type(error).__name__}: {error}"[:500]
        os.write(told.fileno(), traceback.format_exc().encode())
    os.write(answered.fileno(), json.dumps([answer, seen]).encode())
    os._exit(code)


def content(file: Any) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


if __name__ == "__main__":
    main(*sys.argv[1:])
