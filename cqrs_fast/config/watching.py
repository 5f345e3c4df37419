"""Watching: notice that a file may say something else, and when it has been written.

Whether a look is worth it is told by events where `watchfiles` is installed, and by the
clock in any case. Whether anything changed is told by a look alone: by where the path
leads, what the system says of the file there, and in the end by its bytes.
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
# longest ticks in use are 2 s. The same of a file says nothing before it is that old.
COARSEST_TICK = 2.0
# How long a change must stand still where events tell of it; never more than a poll.
SETTLE = 0.1
# The library sleeps in steps and looks for events and for the end between them.
MOST_STEP_MS = 50
# Of errors that nobody foresaw, how many different ones are logged.
MOST_ERRORS = 100
EXIT_SECONDS = 2.0

LOGGER = logging.getLogger("cqrs_fast")


class Content(NamedTuple):
    """What a file held when it was read, or why that cannot be said.

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
    """Tells what a file holds once it has been the same in two looks in a row.

    Not safe to share between threads.

    Parameters:
        path: the file.

    Attributes:
        pending: whether the last look saw something new, for the next one to confirm.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.pending = False
        self._seen: Content | None = None
        self._signature: object = None
        self._since = 0.0
        self._rests = False

    def look(self) -> Content | None:
        """Return what the file holds if that is new and has been confirmed."""
        now = time.monotonic()
        signature = _signature(self.path)
        if signature != self._signature:
            self._signature, self._since = signature, now
        elif self._rests and not self.pending:
            return None
        content = content_of(self.path)
        # What cannot be read may be so for another reason than the file.
        self._rests = content.problem is None and now - self._since > COARSEST_TICK
        if content != self._seen:
            self._seen, self.pending = content, True
            return None
        confirmed, self.pending = self.pending, False
        return content if confirmed else None


def _signature(path: str) -> object:
    """Return what is another one where a file was written, replaced or protected."""
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
    """A flag to wait for, which may be set anywhere, by a garbage collection too.

    (The lock of a threading.Event could be held by the very thread that collects, or
    by a thread that a forked child does not have.)
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
        """Return when it is set, or after some seconds; for one thread only."""
        if not self._is_set:
            self._gate.acquire(timeout=seconds)


class Polls:
    """Waits until it is time for the next look.

    Attributes:
        settle: seconds between the look that sees a change and the one that confirms.
    """

    def __init__(self, poll: float) -> None:
        self.poll = self.settle = poll

    def wait(self, stop: Stop) -> None:
        stop.wait(self.poll)

    def look_was_news(self) -> None:
        """Hear that the look after the wait saw something new."""

    def close(self) -> None:
        """Give back what the system lent."""


class Events(Polls):
    """Waits until something happens beside the file, or for a poll.

    Watched are the directories of the file and of what it is a link to; a link in
    between that lies elsewhere waits for a poll. What watches directories can fail
    (there may be too many watches); then it polls.

    Parameters:
        path: the file, absolute.
        poll: seconds that a wait lasts at most.
        watch: `watchfiles.watch`.
    """

    def __init__(self, path: str, poll: float, watch: Callable[..., Any]) -> None:
        super().__init__(poll)
        self.settle = min(poll, SETTLE)
        self._path = path
        self._watch = watch
        self._watched: dict[str, tuple[int, int]] = {}
        self._events: Generator[set[Any], None, None] | None = None
        self._told = False
        self._failed = False

    def wait(self, stop: Stop) -> None:
        if self._failed:
            super().wait(stop)
            return
        try:
            self._wait(stop)
        except Exception as error:
            self._failed = True
            self.close()
            LOGGER.warning(
                "%s: polls every %g s for changes, as events failed: %s: %s",
                self._path,
                self.poll,
                type(error).__name__,
                error,
            )

    def _wait(self, stop: Stop) -> None:
        directories = _directories_of(self._path)
        if self._events is None or directories != self._watched:
            self.close()
            self._events = self._begin(list(directories), stop)
            self._watched = directories
        happened = next(self._events, None)
        if happened is None and not stop.is_set():
            raise RuntimeError("they ended")
        self._told = bool(happened)

    def _begin(
        self, directories: list[str], stop: Stop
    ) -> Generator[set[Any], None, None]:
        step = max(1, min(MOST_STEP_MS, int(self.poll * 1000 / 20)))
        events: Generator[set[Any], None, None] = self._watch(
            *directories,
            watch_filter=None,
            debounce=4 * step,
            step=step,
            rust_timeout=max(1, int(self.poll * 1000)),
            yield_on_timeout=True,
            stop_event=stop,
            raise_interrupt=False,
            recursive=False,
        )
        return events

    def look_was_news(self) -> None:
        # A directory that was made anew looks like the old one, and is not watched.
        if not self._told:
            self.close()

    def close(self) -> None:
        events, self._events, self._watched = self._events, None, {}
        if events is not None:
            events.close()


def _directories_of(path: str) -> dict[str, tuple[int, int]]:
    """Return the directories to watch, or what is there above those that are missing.

    Each with what tells it from another one of its name.
    """
    found: dict[str, tuple[int, int]] = {}
    for one in (path, os.path.realpath(path)):
        directory = os.path.dirname(one)
        while not os.path.isdir(directory):
            directory = os.path.dirname(directory)
        status = os.stat(directory)
        found[directory] = status.st_dev, status.st_ino
    return found


def alarm_of(path: str, poll: float) -> Polls:
    """Return what waits for changes of a file as well as can be here."""
    try:
        from watchfiles import watch
    except ImportError:
        return Polls(poll)
    return Events(path, poll, watch)


# Those whose threads may run, to be ended before the interpreter goes away: a thread
# that is inside of another library then would take the process down.
_watches: WeakSet[Watch] = WeakSet()


class Watch:
    """A daemon thread that has `take` called with what a file holds, when it is new.

    Parameters:
        path: the file, absolute.
        poll: seconds between two looks at most.
        take: a bound method, whose object is held weakly: the thread ends with it.
            It is called with a Content that has been stable; where it returns False it
            saw something else there and is called again.
    """

    def __init__(self, path: str, poll: float, take: Callable[[Content], bool]) -> None:
        self._path = path
        self._stop = stop = Stop()
        self._take = WeakMethod(take, lambda _: stop.set())
        self._alarm = alarm_of(path, poll)
        self._errors: set[str] = set()
        self._thread = threading.Thread(
            target=self._run, name=f"cqrs_fast config {path}", daemon=True
        )
        self._thread.start()
        _watches.add(self)

    @property
    def is_running(self) -> bool:
        """Whether its thread is there: not after `stop`, and not in a forked child."""
        return self._thread.is_alive() and not self._stop.is_set()

    def stop(self, seconds: float) -> bool:
        """Let it end; wait for that, but not in its own thread; return whether it has.

        Safe to call from any thread, and again.
        """
        self._stop.set()
        if self._thread is threading.current_thread():
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        changes = Changes(self._path)
        try:
            while not self._stop.is_set():
                try:
                    self._look(changes)
                except Exception as error:
                    self._report(error)
                    self._stop.wait(self._alarm.poll)
        finally:
            self._alarm.close()

    def _look(self, changes: Changes) -> None:
        content = changes.look()
        if content is not None:
            take = self._take()
            changes.pending = take is not None and not take(content)
            del take  # or nobody could drop the manager during the wait
        if changes.pending:
            self._alarm.look_was_news()
            self._stop.wait(self._alarm.settle)
        else:
            self._alarm.wait(self._stop)

    def _report(self, error: Exception) -> None:
        text = repr(error)
        if text not in self._errors and len(self._errors) < MOST_ERRORS:
            self._errors.add(text)
            LOGGER.error("%s: watching goes on after: %s", self._path, text)


def _stop_all() -> None:
    watches = list(_watches)
    for watch in watches:
        watch.stop(0)
    for watch in watches:
        watch.stop(EXIT_SECONDS)


atexit.register(_stop_all)
