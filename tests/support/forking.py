"""What the scripts of test_fork.py share: a held handler, and what a child checks."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, ClassVar

from cqrs_fast import Command, Query

PARENT = os.getpid()
SECONDS = 20

# Ends a process that hangs, whatever it hangs in; a child sets its own.
signal.alarm(SECONDS)


class Get(Query[int]):
    number: int = 0


class Put(Command[int]):
    number: int = 0
    idempotency_key: str | None = None

    idempotent: ClassVar[bool] = True


class Held:
    """A handler that holds message 1 in the parent until it is released."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.calls = 0

    def __call__(self, message: Any) -> int:
        self.calls += 1
        if message.number == 1 and os.getpid() == PARENT:
            self.entered.set()
            assert self.go_on.wait(SECONDS)
        return int(message.number)


class Caller:
    """A thread that dispatches."""

    def __init__(self, bus: Any, message: Any) -> None:
        self.outcome: Any = None

        def call() -> None:
            try:
                self.outcome = bus.execute(message)
            except Exception as error:
                self.outcome = error

        self.thread = threading.Thread(target=call)
        self.thread.start()

    def result(self) -> Any:
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()
        return self.outcome


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def fork(check: Callable[[], object]) -> None:
    """Let `check` run in a child, and see that it ends well and soon."""
    child = os.fork()
    if child == 0:
        end_child(check)
    reap(child)


def end_child(check: Callable[[], object]) -> None:
    status = 1
    try:
        signal.alarm(SECONDS // 2)
        check()
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def reap(child: int) -> None:
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code == 0, f"the child ended with {code}"


def is_at_rest(bus: Any) -> None:
    """Nothing is in flight, and the bus closes at once."""
    if bus.stats().total.count:
        for each in bus.stats().messages.values():
            assert each.in_flight == 0, each
    report = bus.close(5)
    assert report.drained, report
    assert report.waited < 1, report
