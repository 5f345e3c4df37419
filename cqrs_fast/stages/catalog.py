"""The catalog: every middleware of the package, outermost first.

The order of the table is the default order. A middleware is its module in this folder,
the stub of that, and a row here: from the row come the name in `cqrs_fast`, the section
of a configuration that makes it, the warnings of orders that defeat it, its line in
`docs/middleware.md`, and what the tests and benchmarks do with each middleware.

Importing this imports none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

BOTH = ("command", "query")
CUSTOM = "custom"
ATTEMPT_TIMEOUT = "attempt_timeout"


class Row(NamedTuple):
    """One middleware.

    Attributes:
        name: its class, or the place of what has none here: `custom` is where users'
            own goes.
        place: why it stands where it does.
        module: in this folder; empty where this package has no class for it.
        does: what it does, in a line.
        passing: arguments with which it lets every call pass as it is.
        kinds: the kinds of bus that it serves.
        section: of `config.middleware`, that makes it; empty for none.
        renamed: fields of that section whose parameter is not their name without the
            unit; None for one that is no parameter.
        configured: the function of its module that a configuration makes it with,
            where that is not the class.
        repeats: whether it runs what lies inside more than once.
        limits: the setting that bounds the time of what lies inside, in seconds.
        inside: what goes wrong inside of one that repeats; empty where nothing does.
        outside: what goes wrong outside of one that repeats; empty where nothing does.
        rejects: the error for which that holds: only where the one that repeats names
            it in `retry_on`; empty where it holds always.
    """

    name: str
    place: str
    module: str = ""
    does: str = ""
    passing: dict[str, Any] = {}  # noqa: RUF012 - a default, which nobody changes
    kinds: tuple[str, ...] = BOTH
    section: str = ""
    renamed: dict[str, str | None] = {}  # noqa: RUF012 - as above
    configured: str = ""
    repeats: bool = False
    limits: str = ""
    inside: str = ""
    outside: str = ""
    rejects: str = ""

    @property
    def label(self) -> str:
        """Its module as words: `rate limiting`."""
        return self.module.removesuffix(".middleware").replace("_", " ")

    def load(self) -> Any:
        """Import its module and return its class."""
        return getattr(import_module(f"cqrs_fast.stages.{self.module}"), self.name)

    def make(self, *args: Any, **arguments: Any) -> Any:
        """Return one as a configuration makes it."""
        make = self.load()
        if self.configured:
            module = import_module(f"cqrs_fast.stages.{self.module}")
            make = getattr(module, self.configured)
        return make(*args, **arguments)


CATALOG: tuple[Row, ...] = (
    Row("Metrics", "sees rejections, cache hits and the true latency"),
    Row("TracingMiddleware", "sees them too"),
    Row(
        "LoggingMiddleware",
        "a line for each dispatch, not for each attempt",
        module="logging",
        does="one line in the log for each dispatch",
        section="logging",
    ),
    Row(
        "DebugMiddleware",
        "as the log",
        module="debug",
        does="message, result and error in the log, secrets masked",
    ),
    Row(
        "SlowCallMiddleware",
        "as the log",
        module="slow_call",
        does="one line in the log for each dispatch that took its time",
        passing={"threshold": 60.0},
    ),
    Row(
        "AuditMiddleware",
        "rejections are to be audited too",
        module="audit",
        does="hands an `AuditEvent` of each dispatch to a function",
        passing={"sink": lambda event: None},
    ),
    Row(
        "TimeoutMiddleware",
        "covers every wait below",
        module="timeout",
        does="bounds the time of what lies inside",
        passing={"seconds": 60.0},
        section="timeout",
        renamed={"timeout_ms": "seconds"},
        limits="seconds",
    ),
    Row(
        "ValidationMiddleware",
        "what is invalid spends no token and fills no cache",
        module="validation",
        does="holds messages to the rules of their class",
        section="validation",
    ),
    Row(
        "AuthenticationMiddleware",
        "before anything that is keyed by the principal",
        module="authentication",
        does="asks a function who the caller is",
        passing={"authenticate": lambda ctx, message: "me"},
    ),
    Row(CUSTOM, "knows the principal, and its errors spend no token"),
    Row(
        "FallbackMiddleware",
        "answers for rejections too, and what it answers is not cached",
        module="fallback",
        does="answers for what failed",
        passing={"fallback": lambda ctx, message, error: -1},
    ),
    Row(
        "RateLimitingMiddleware",
        "a cached answer spends a token too",
        module="rate_limiting.middleware",
        does="admits so many dispatches in a time, exactly",
        passing={"requests_per_window": 1_000_000, "window": 1.0},
        section="rate_limiting",
    ),
    Row(
        "CachingMiddleware",
        "a hit skips all below, and only a final outcome is stored",
        module="caching.middleware",
        does="answers queries that were answered before",
        kinds=("query",),
        section="caching",
        renamed={"default_ttl_sec": "ttl"},
        inside="every attempt looks into the cache and fills it",
    ),
    Row(
        "IdempotencyMiddleware",
        "as the cache, for commands",
        module="idempotency.middleware",
        does="does a command that is sent again only once",
        kinds=("command",),
        inside="every attempt after the first is taken for a duplicate",
    ),
    Row(
        "RetryMiddleware",
        "the ones below see each attempt",
        module="retry",
        does="runs what failed again",
        section="retry",
        renamed={"attempt_timeout_ms": None},
        # It serves every message of a configuration, so it is silent of commands.
        configured="quiet_retry",
        repeats=True,
    ),
    Row(
        "CircuitBreakerMiddleware",
        "an open circuit ends the attempts at once",
        module="circuit_breaker",
        does="spares a handler that keeps failing",
        section="circuit_breaker",
        outside="it never sees that error, and the breaker counts a dispatch once for "
        "all its attempts",
        rejects="CircuitOpenError",
    ),
    Row(
        "BulkheadMiddleware",
        "no slot is held between attempts",
        module="bulkhead",
        does="lets in so many dispatches at once",
        passing={"max_concurrent": 8},
        section="bulkhead",
        outside="a slot is held while a retry waits",
    ),
    Row(
        "LoadSheddingMiddleware",
        "the wait for a slot has used up its part of the time",
        module="load_shedding",
        does="rejects what would not be done in time",
    ),
    Row(
        "TimeoutMiddleware",
        "next to the work, and counted by the breaker",
        module="timeout",
        does="bounds the time of each attempt",
        passing={"seconds": 60.0},
        section=ATTEMPT_TIMEOUT,
        limits="seconds",
    ),
)

# Of two rows of a class the outer one.
BY_NAME: dict[str, Row] = {row.name: row for row in CATALOG[::-1]}
NOTHING_KNOWN = Row("", "")


def row_of(name: str) -> Row:
    """Return the row of a class, an empty one for what is not in the catalog."""
    return BY_NAME.get(name, NOTHING_KNOWN)


def middleware_rows() -> Iterator[Row]:
    """Return the rows of what can be imported, each class once."""
    seen = set()
    for row in CATALOG:
        if row.module and row.name not in seen:
            seen.add(row.name)
            yield row


def exports() -> dict[str, str]:
    """Return the classes by the module of `cqrs_fast` that has each."""
    return {f"stages.{row.module}": row.name for row in middleware_rows()}
