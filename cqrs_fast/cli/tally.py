"""Count what came of the messages of the demo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import NamedTuple

import msgspec

from cqrs_fast.cli.console import duration
from cqrs_fast.errors import HandlerNotFoundError, ValidationError
from cqrs_fast.policies.latency_histogram import LatencyHistogram

UNKNOWN = "(unknown message)"
NO_MESSAGE = "(no message)"


class _Named(msgspec.Struct):
    name: str = msgspec.field(name="$type")


def type_of(line: bytes) -> str | None:
    """Return the `$type` of a line, None where there is none to be read."""
    try:
        return msgspec.json.decode(line, type=_Named).name
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return None


class Rejection(NamedTuple):
    """One message that was turned away, and why."""

    line: int
    name: str
    path: str
    reason: str


class Entry:
    """What came of the messages of one name."""

    def __init__(self) -> None:
        self.ok = self.invalid = self.refused = self.errors = 0
        self.latency = LatencyHistogram()

    @property
    def count(self) -> int:
        """Return how many there were."""
        return self.ok + self.invalid + self.refused + self.errors

    def add(self, other: Entry) -> None:
        """Add the counts of another one."""
        self.ok += other.ok
        self.invalid += other.invalid
        self.refused += other.refused
        self.errors += other.errors
        self.latency.merge(other.latency)

    def row(self, name: str) -> list[str]:
        """Return it as cells of a table."""
        counts = (self.count, self.ok, self.invalid, self.refused, self.errors)
        times = (self.latency.percentile(50), self.latency.percentile(99))
        return [name, *(f"{count:,}" for count in counts), *map(duration, times)]


class Tally:
    """Count outcomes by message, and keep one rejection of each kind.

    Parameters:
        names: the messages that have a handler.
        refusal: the base of the errors by which handlers refuse.
    """

    def __init__(self, names: Iterable[str], refusal: type[Exception]) -> None:
        self.refusal = refusal
        self.entries = {name: Entry() for name in (*names, UNKNOWN, NO_MESSAGE)}
        self.rejections: list[Rejection] = []
        self._kinds: set[tuple[str, str, bool]] = set()

    @property
    def count(self) -> int:
        """Return how many messages there were."""
        return sum(entry.count for entry in self.entries.values())

    @property
    def failed(self) -> int:
        """Return how many of them were not ok."""
        return sum(entry.count - entry.ok for entry in self.entries.values())

    def attempt(self, line: int, name: str | None, call: Callable[[], object]) -> None:
        """Run one dispatch and count what comes of it."""
        shown = NO_MESSAGE if name is None else name
        entry = self.entries.get(shown, self.entries[UNKNOWN])
        started = perf_counter()
        try:
            call()
        except (ValidationError, HandlerNotFoundError) as error:
            entry.invalid += 1
            self.keep(line, shown, error)
        except self.refusal as error:
            entry.refused += 1
            self.keep(line, shown, error)
        except Exception as error:
            entry.errors += 1
            self.keep(line, shown, error)
        else:
            entry.ok += 1
        entry.latency.record(perf_counter() - started)

    def keep(self, line: int, name: str, error: Exception) -> None:
        """Keep a rejection if it is the first of its kind."""
        path, kind, reason = "", type(error).__name__, str(error)
        if isinstance(error, ValidationError) and error.errors:
            path, kind, reason = error.errors[0]
        elif isinstance(error, HandlerNotFoundError):
            reason = reason.split(". ")[0]  # the rest lists what is registered
        # Malformed JSON and a message's own check have one code, but not one reason.
        sort = (type(error).__name__, kind, path == "$" and name != NO_MESSAGE)
        if sort in self._kinds:
            return
        self._kinds.add(sort)
        self.rejections.append(Rejection(line, name, path, reason))

    def by_name(self) -> Iterator[tuple[str, Entry]]:
        """Yield the names that occurred, with their counts."""
        for name, entry in self.entries.items():
            if entry.count:
                yield name, entry

    def total(self) -> Entry:
        """Return the sum of all."""
        total = Entry()
        for entry in self.entries.values():
            total.add(entry)
        return total
