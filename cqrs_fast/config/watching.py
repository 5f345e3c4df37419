"""Watch a file: notice that it changed, and when its content has settled.

A check compares what the system says of the file, then its bytes. Between two checks
the thread waits for file system events where `watchfiles` is installed, else for the
poll interval.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, NamedTuple
from weakref import WeakMethod, WeakSet

from cqrs_fast.config.files import read_file
from cqrs_fast.errors import ConfigError

# Two writes within one tick of a file system's clock may leave the same times, and the
# longest ticks in use are 2 s: only older times prove that a file has not changed.
COARSEST_TICK = 2.0
# How long content must stay the same where events are used; never more than a poll.
SETTLE = 0.1
# watchfiles sleeps in steps, and checks for events and for the end between them.
MOST_STEP_MS = 50
EXIT_SECONDS = 2.0

LOGGER = logging.getLogger("cqrs_fast")


class Content(NamedTuple):
    """What a file held when it was read, or why it could not be read.

    Attributes:
        data: its bytes; empty with a problem.
        problem: the text of the error that reading it raised, or None.
    """

    data: bytes
    problem: str | None


def content_of(path: str) -> Content:
    """Read a configuration file; never raises ConfigError."""
    try:
        return Content(read_file(path), None)
    except ConfigError as error:
        return Content(b"", str(error))


class Changes:
    """Report the content of a file once two checks in a row have found it the same.

    Not safe to share between threads. `pending` says that the last check found
    something new, which the next one has to confirm.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.pending = False
        self._seen: Content | None = None
        self._status: object = None
        self._since = 0.0
        self._is_proven = False  # the same status means the same content

    def check(self) -> Content | None:
        """Return what the file holds if that is new and has been confirmed."""
        now = time.monotonic()
        status = _status_of(self.path)
        if status != self._status:
            self._status, self._since = status, now
        elif self._is_proven and not self.pending:
            return None
        content = content_of(self.path)
        # A problem may end although nothing about the file changes.
        is_old = now - self._since > COARSEST_TICK
        self._is_proven = is_old and content.problem is None
        if content != self._seen:
            self._seen, self.pending = content, True
            return None
        confirmed, self.pending = self.pending, False
        return content if confirmed else None


def _status_of(path: str) -> object:
    """Return what differs after a file was written, replaced or protected."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        return str(error)
    return (
        os.path.realpath(path),
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


class Stop:
    """A flag that one thread waits for; a garbage collection may set it.

    The lock of a threading.Event could be held by the thread that collects, or by a
    thread that a forked child does not have.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._gate = threading.Lock()
        self._gate.acquire()

    def set(self) -> None:
        self._is_set = True
        with suppress(RuntimeError):  # it is open
            self._gate.release()

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, seconds: float) -> None:
        if not self._is_set:
            self._gate.acquire(timeout=seconds)


def _directories_of(path: str) -> dict[str, tuple[int, int]]:
    """Return the directories of the file and of its target, with device and inode.

    The nearest directory above stands in for one that is missing.
    """
    found: dict[str, tuple[int, int]] = {}
    for one in (path, os.path.realpath(path)):
        directory = os.path.dirname(one)
        while not os.path.isdir(directory):
            directory = os.path.dirname(directory)
        status = os.stat(directory)
        found[directory] = status.st_dev, status.st_ino
    return found


# A thread that is inside another library when the interpreter ends would crash the
# process, so all of them are stopped before.
_watches: WeakSet[Watch] = WeakSet()


class Watch:
    """A daemon thread that calls `take` with the content of a file when it is new.

    Parameters:
        path: the file, absolute.
        poll: seconds between two checks at most.
        take: a bound method, whose object is held weakly: the thread ends with it.
            It gets a confirmed Content. If it returns False the file held something
            else by then, and it is called again.
        greeting: logged by the thread at its start; empty for nothing. Given in a
            forked child, which only polls: the parent's threads may have held locks
            of `watchfiles`.
    """

    def __init__(
        self,
        path: str,
        poll: float,
        take: Callable[[Content], bool],
        greeting: str = "",
    ) -> None:
        self._path = path
        self._poll = poll
        self._greeting = greeting
        self._stop = stop = Stop()
        self._take = WeakMethod(take, lambda _: stop.set())
        self._listen: Callable[..., Any] | None = None
        if not greeting:
            with suppress(ImportError):
                from watchfiles import watch

                self._listen = watch
        self._events: Generator[set[Any], None, None] | None = None
        self._directories: dict[str, tuple[int, int]] = {}
        self._was_event = False  # whether an event ended the last wait
        self._last_error = ""
        self._thread = threading.Thread(
            target=self._run, name=f"cqrs_fast config {path}", daemon=True
        )
        self._thread.start()
        _watches.add(self)

    @property
    def is_running(self) -> bool:
        """Whether its thread runs: not after `stop`, and not in a forked child."""
        return self._thread.is_alive() and not self._stop.is_set()

    @property
    def is_stopped(self) -> bool:
        """Whether its thread was told to end."""
        return self._stop.is_set()

    def stop(self, seconds: float) -> bool:
        """End the thread and wait for it, unless called in it; return if it ended.

        Safe to call from any thread, and again.
        """
        self._stop.set()
        if self._thread is threading.current_thread():
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        changes = Changes(self._path)
        if self._greeting:
            # Here, as a handler of a log may block in a forked child.
            with suppress(Exception):
                LOGGER.info("%s: %s", self._path, self._greeting)
        try:
            while not self._stop.is_set():
                try:
                    self._check(changes)
                except Exception as error:
                    if repr(error) != self._last_error:
                        self._last_error = repr(error)
                        text = "%s: still watching after an unexpected error: %s"
                        LOGGER.error(text, self._path, self._last_error)
                    self._stop.wait(self._poll)
        finally:
            self._end_events()

    def _check(self, changes: Changes) -> None:
        content = changes.check()
        if content is not None:
            take = self._take()
            changes.pending = take is not None and not take(content)
            del take  # a reference during the wait would keep the manager alive
        if changes.pending:
            if not self._was_event:
                # The directory may be a new one with the inode of the watched one.
                self._end_events()
            self._stop.wait(min(self._poll, SETTLE) if self._listen else self._poll)
        elif self._listen is None:
            self._stop.wait(self._poll)
        else:
            self._wait_for_event(self._listen)

    def _wait_for_event(self, listen: Callable[..., Any]) -> None:
        """Wait for an event in the directories, or for a poll.

        Events can fail: the system may allow no more watches. Then it only polls.
        """
        try:
            directories = _directories_of(self._path)
            if self._events is None or directories != self._directories:
                self._end_events()
                self._directories = directories
                step = max(1, min(MOST_STEP_MS, int(self._poll * 1000 / 20)))
                self._events = listen(
                    *directories,
                    watch_filter=None,
                    debounce=4 * step,
                    step=step,
                    rust_timeout=max(1, int(self._poll * 1000)),
                    yield_on_timeout=True,
                    stop_event=self._stop,
                    raise_interrupt=False,
                    recursive=False,
                )
            assert self._events is not None
            happened = next(self._events, None)
            if happened is None and not self._stop.is_set():
                raise RuntimeError("they ended")
            self._was_event = bool(happened)
        except Exception as error:
            self._listen = None
            self._was_event = False
            self._end_events()
            why = f"{type(error).__name__}: {error}"
            text = "%s: polls every %g s for changes, as events failed: %s"
            LOGGER.warning(text, self._path, self._poll, why)

    def _end_events(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            events.close()


def _stop_all() -> None:
    watches = list(_watches)
    for watch in watches:
        watch.stop(0)
    for watch in watches:
        watch.stop(EXIT_SECONDS)


atexit.register(_stop_all)
