"""Row 32: a child that is forked under load dispatches at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any

from reliability.parts import Get, bus_of, seeded
from support import drive

from cqrs_fast import (
    BulkheadMiddleware,
    CachingMiddleware,
    CircuitBreakerMiddleware,
    Context,
    CQRSError,
    RateLimitingMiddleware,
    RetryMiddleware,
    ValidationMiddleware,
)

FORKS, CHILD_SECONDS = 5, 5


def handle(ctx: Context, get: Get) -> int:
    if get.number % 7 == 6:
        raise ConnectionError
    return get.number


def in_child(bus: Any) -> None:
    """Dispatch in the child; its exit status is 0 if all went well."""
    status = 1
    try:
        # Ends a child that hangs, whatever it hangs in.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(CHILD_SECONDS)
        # What other threads of the parent were at work on, and what nobody was.
        for number in [*range(100), *range(700, 720)]:
            with suppress(ConnectionError):
                assert bus.execute(Get(number)) == number
                assert drive(bus.execute_async(Get(number))) == number
        done = threading.Event()
        threading.Thread(target=lambda: (bus.execute(Get(1)), done.set())).start()
        assert done.wait(CHILD_SECONDS)
        assert bus.close(CHILD_SECONDS).drained
        status = 0
    finally:
        os._exit(status)


def schedule(seed: int) -> int:
    """Fork a few times while three threads dispatch."""
    random = seeded(seed)
    bus = bus_of(
        [
            ValidationMiddleware(),
            RateLimitingMiddleware(10**6, 1.0, max_wait=1.0),
            CachingMiddleware(0.001, max_size=50),
            RetryMiddleware(2, 1e-6),
            CircuitBreakerMiddleware(10**6, 1.0),
            BulkheadMiddleware(8, max_queue=8, max_wait=1.0),
        ],
        Get,
        handle,
    )
    stop = threading.Event()

    def load(number: int) -> None:
        while not stop.is_set():
            number += 1
            with suppress(CQRSError, ConnectionError):
                bus.execute(Get(number % 100))

    threads = [threading.Thread(target=load, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(FORKS):
            time.sleep(random.random() * 0.003)
            child = os.fork()
            if child == 0:
                in_child(bus)
            _, status = os.waitpid(child, 0)
            code = os.waitstatus_to_exitcode(status)
            assert code == 0, f"the child ended with {code}"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return FORKS
