"""Hunter 3: each allocation of each operation fails once.

A scenario is `operation:k`: the k-th allocation that the operation makes fails, all
others succeed. The operation may raise MemoryError or get by without that memory; after
it nothing is held, and the same objects serve as before.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import operator
import re
import shutil
import subprocess
import sys
import tempfile
import typing
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from hunters.hunting import TESTS, Ask, Effort, Hunter, environment, note
from hunters.operations import OPERATIONS, Operation

# The interpreter's own test support, which some distributions leave out.
try:
    import _testcapi
except ImportError:
    _testcapi = None  # type: ignore[assignment]

# In the short form so many of an operation's first allocations fail, then every n-th.
FIRST, STRIDE = 8, 11
MOST = 5_000


def run(scenario: str) -> str:
    """Let one allocation fail; return "done" if there was none of that number."""
    name, _, number = scenario.rpartition(":")
    operation = OPERATIONS[name]
    compile_once()
    # What is made once per process is made before: imports, caches of the interpreter.
    once(operation, 0)
    gc.collect()
    gc.disable()
    note(scenario)
    hit = once(operation, int(number))
    gc.collect()
    return "hit" if hit else "done"


def once(operation: Operation, k: int) -> bool:
    """Run an operation from its making to its check; return whether it was hit."""
    left = k

    def window(act: Callable[[], Any]) -> Any:
        """Run a part of the operation; the allocations of all parts are counted."""
        nonlocal left
        if left == 0:
            return act()
        result, left = failing(act, left)
        return result

    if operation.on_loop:
        in_a_task(lambda: operation.run(window))
    else:
        operation.run(window)
    return k > 0 and left == 0


def in_a_task(function: Callable[[], None]) -> None:
    """Call a function in a task of an event loop, which it may cancel."""
    ended = False

    async def main() -> None:
        nonlocal ended
        function()
        ended = True

    loop = asyncio.new_event_loop()
    with suppress(asyncio.CancelledError):
        loop.run_until_complete(main())
    loop.close()
    assert ended, "it was cancelled"


def made_roomy() -> Callable[[Callable[[], Any]], Any]:
    """Make a function that calls another one where frames need no memory.

    CPython 3.11 raises SystemError instead of MemoryError where a call of Python code
    has to make another chunk of its stack, 16 KiB, and cannot. A function of so many
    variables gets a chunk of 128 KiB, and leaves half of it to those that it calls.
    """
    names = " = ".join(f"v{number}" for number in range(8_300))
    made: dict[str, Any] = {}
    exec(f"def roomy(act):\n if act is None: {names} = 0\n return act()", made)
    return made["roomy"]


roomy = made_roomy()


def failing(act: Callable[[], Any], k: int) -> tuple[Any, int]:
    """Call `act` while the k-th allocation fails.

    Returns its result, or its MemoryError, and the number that the allocation has
    counted from here: 0 if it came.
    """
    probes = itertools.repeat(None, k)

    def fail() -> tuple[Any, int]:
        outcome: Any = None
        spare_pairs()
        _testcapi.set_nomemory(k - 1, k)
        try:
            outcome = act()
        except MAY_TELL as error:
            if not tells_of_memory(error):
                raise
            # Its traceback would keep alive what the operation dropped.
            outcome = MemoryError(str(error))
        finally:
            left = allocations_left(probes, k)
            _testcapi.remove_mem_hooks()
        return outcome, left

    return roomy(fail)


# CPython forgets the exception on its way where it has no memory for the frame object
# of the caller (`take_ownership` in Python/frame.c), and tells of that.
# What CPython says where it has no memory for a lock.
NO_LOCK = "can't allocate lock"
LOST_TEXTS = (
    "error return without exception set",
    "gave no result and no exception",
    "returned NULL without setting an exception",
)
# Made here: there is no memory for it later.
MAY_TELL = (MemoryError, RuntimeError, SystemError)


def tells_of_memory(error: BaseException) -> bool:
    told = str(error)
    return isinstance(error, MemoryError) or told.endswith((*LOST_TEXTS, NO_LOCK))


def spare_pairs() -> None:
    """Let no pair need memory.

    CPython ends with SIGSEGV where `dict.items()` is iterated and has none for the pair
    that its iterator keeps (`dictiter_new` in Objects/dictobject.c).
    """
    pairs = [(None, number) for number in range(2_000)]
    del pairs


def compile_once() -> None:
    """Let what was compiled for typing before be compiled no more.

    CPython 3.11 frees a table twice where it has no memory while it compiles
    (`assemble_init` in Python/compile.c), as typing does with annotations of text.
    """
    vars(typing)["compile"] = functools.lru_cache(maxsize=None)(compile)


BYTES, CUT = b"a" * 300, slice(0, 200)


def allocations_left(probes: Iterator[None], k: int) -> int:
    """Allocate until one fails; return how many it took, 0 if one had failed before."""
    try:
        for _ in probes:
            BYTES[CUT]
    except MemoryError:
        return k - operator.length_hint(probes)
    return 0


def hunt(ask: Ask, effort: Effort) -> None:
    if _testcapi is None:
        raise LookupError("this interpreter has no _testcapi: no allocation can fail")
    for name in OPERATIONS:
        k = 1
        while k < MOST and ask(f"{name}:{k}").answer != "done":
            k += 1 if effort.whole or k < FIRST else STRIDE


# Who is not sound where memory runs out, of CPython 3.11 to 3.13 and msgspec 0.23.0:
# the function whose allocation fails, and why.
FAILS = {
    # MAKE_FUNCTION of 3.12 and 3.13: the instruction drops its operand, then unwinding
    # does (python/cpython#122752). tests/hunters/test_hunters.py shows it.
    "PyFunction_NewWithQualName": "CPython drops the code of a function twice",
    "PyCell_New": "CPython keeps the arguments of a call for ever",
    "take_ownership": "CPython forgets the exception on its way",
    "assemble_init": "CPython frees a table of the compiler twice",
}
# The function that dies of it.
DIES = {
    "dictiter_new": "CPython untracks an iterator that is not tracked",
    "PathNode_ErrSuffix": "msgspec puts a path into a text that it has no memory for",
}
CALLERS = 12  # this close to the allocation, or to where it dies
# Where other code begins, which such a function serves: Python's or this library's.
OTHER_CODE = ("_PyEval_EvalFrameDefault (", "cqrs_fast/")
HOOKS = ("hook_fmalloc", "hook_fcalloc", "hook_frealloc")
# Each part of an operation stops once, at its own allocation or a probe; then it dies.
STOPS = 16
# It takes a second; a machine that does a lot beside this makes no fault.
GDB_SECONDS = 300


def excuse(scenario: str) -> str | None:
    """Return what another did wrong in a scenario, as gdb sees it; or None.

    Without gdb, or without what it needs to know of _testcapi, nothing is excused.
    """
    if shutil.which("gdb") is None:
        return None
    stop = "FmData.count == FmData.start"
    told = ["set pagination off", "set breakpoint pending on"]
    surroundings = environment()
    # A sanitizer belongs into the program alone: gdb hangs with it.
    if preload := surroundings.pop("LD_PRELOAD", ""):
        told += [f"set exec-wrapper env LD_PRELOAD={preload}"]
    # In a process that is forked as before: in another one allocations differ.
    told += ["tbreak PyOS_BeforeFork"]
    told += [f"run -m hunters.nursery nomemory {GDB_SECONDS} < {{asked}}"]
    told += ["set follow-fork-mode child"]
    told += [f"break {hook} if {stop}" for hook in HOOKS]
    told += ["continue", f"bt {CALLERS}"] * STOPS
    with tempfile.NamedTemporaryFile("w") as asked:
        asked.write(scenario + "\n")
        asked.flush()
        command = ["gdb", "-batch"]
        for one in told:
            command += ["-ex", one.format(asked=asked.name)]
        try:
            seen = subprocess.run(
                [*command, sys.executable],
                cwd=TESTS,
                env=surroundings,
                capture_output=True,
                text=True,
                timeout=GDB_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            print(f"{scenario}: gdb has not ended within {GDB_SECONDS} s", flush=True)
            return None
    return wrong_of_others(seen.stdout)


def wrong_of_others(told: str) -> str | None:
    """Return what a stack of gdb shows of others; only its innermost call is judged."""
    for stack in re.split(r"^(?=#0 )", told, flags=re.MULTILINE)[1:]:
        frames = [line for line in stack.splitlines() if line.startswith("#")]
        is_failing = any(f"{hook} (" in frames[0] for hook in HOOKS)
        table = FAILS if is_failing else DIES
        for frame in frames:
            for function, wrong in table.items():
                if f" {function} (" in frame:
                    return f"{wrong} ({function})"
            if any(other in frame for other in OTHER_CODE):
                break
    return None


HUNTER = Hunter(
    "nomemory",
    "each allocation of an operation fails once",
    run,
    hunt,
    seconds=8.0,
    excuse=excuse,
)
