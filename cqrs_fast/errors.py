"""The errors of cqrs_fast: one tree below `CQRSError`.

Each error carries plain, typed attributes and builds its text only when somebody
reads it. None of them ever holds a field value of a message, a result or a context
value. All can be pickled and copied: what travels is the type, the arguments and
the plain attributes, without notes, causes and tracebacks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

__all__ = [
    "AsyncHandlerError",
    "BulkheadFullError",
    "BusClosedError",
    "CQRSError",
    "CircuitOpenError",
    "ConfigError",
    "ContextCancelledError",
    "DeadlineExceededError",
    "HandlerAlreadyRegisteredError",
    "HandlerNotFoundError",
    "IdempotencyConflictError",
    "IdempotencyInProgressError",
    "MiddlewareOrderWarning",
    "OverloadedError",
    "PoolExhaustedError",
    "RateLimitExceededError",
    "RejectedError",
    "ResultTypeError",
    "ValidationError",
]

_SHOWN_NAMES = 10
_QUOTED_CHARACTERS = 200
# Matching is quadratic in the lengths and a name may come from the wire.
_MATCHED_NAMES = 1000


def _quote(name: object) -> str:
    """Quote a name for a text: bounded, control characters escaped."""
    text = str(name)
    if len(text) > _QUOTED_CHARACTERS:
        return repr(text[:_QUOTED_CHARACTERS]) + "..."
    return repr(text)


def _seconds(value: object) -> str:
    """Write a number of seconds for a text."""
    return f"{value:.6g} s" if isinstance(value, int | float) else str(value)


def _restore(
    cls: type[CQRSError], args: tuple[Any, ...], state: dict[str, Any]
) -> CQRSError:
    """Rebuild a pickled or copied error without calling its constructor."""
    error = cls.__new__(cls)
    error.args = args
    for name, value in state.items():
        setattr(error, name, value)
    return error


class CQRSError(Exception):
    """Report a failure of the library itself; catch it to catch every error here.

    Attributes:
        outcome: the metric outcome that a dispatch ending with this error counts as.
    """

    outcome: ClassVar[str] = "error"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by type and plain attributes; notes stay behind."""
        state = {key: value for key, value in vars(self).items() if key != "__notes__"}
        for cls in type(self).__mro__:
            for name in vars(cls).get("__slots__", ()):
                if not name.startswith("__") and hasattr(self, name):
                    state[name] = getattr(self, name)
        return _restore, (type(self), self.args, state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class HandlerNotFoundError(CQRSError, LookupError):
    """Report a message that no handler is registered for.

    Register a handler on the bus that was asked, or correct the name.

    Attributes:
        name: the name of the message.
        registered: the sorted names that have a handler on this bus.
        hint: one more sentence for the reader, or None.
    """

    def __init__(
        self, name: str, registered: Iterable[str] = (), hint: str | None = None
    ) -> None:
        super().__init__()
        self.name = name
        self.hint = hint
        self._names = tuple(registered)

    @property
    def registered(self) -> list[str]:
        """Return the sorted names that have a handler on this bus."""
        return sorted(self._names)

    def _close_matches(self, registered: list[str]) -> list[str]:
        from difflib import get_close_matches

        name = str(self.name)[:_QUOTED_CHARACTERS]
        if len(registered) > _MATCHED_NAMES:
            registered = [other for other in registered if other[:1] == name[:1]]
        others = [other for other in registered[:_MATCHED_NAMES] if other != name]
        return get_close_matches(name, others)

    def __str__(self) -> str:
        registered = self.registered
        parts = [f"no handler is registered for {_quote(self.name)}."]
        if self.hint:
            parts.append(self.hint)
        matches = self._close_matches(registered)
        if matches:
            parts.append(f"Did you mean {' or '.join(map(_quote, matches))}?")
        parts.append("Register one with bus.register_handler(message, handler).")
        if registered:
            shown = ", ".join(registered[:_SHOWN_NAMES])
            more = len(registered) - _SHOWN_NAMES
            tail = f" and {more} more" if more > 0 else ""
            parts.append(f"Registered here: {shown}{tail}.")
        else:
            parts.append("This bus has no handlers at all.")
        return " ".join(parts)


class HandlerAlreadyRegisteredError(CQRSError):
    """Report a second handler for one message; pass `replace=True` to swap it.

    Attributes:
        name: the name of the message.
        handler: a description of the handler that is registered, or None.
    """

    def __init__(self, name: str, handler: str | None = None) -> None:
        super().__init__()
        self.name = name
        self.handler = handler

    def __str__(self) -> str:
        by = f": {self.handler}" if self.handler else ""
        return (
            f"{_quote(self.name)} already has a handler{by}; "
            "pass replace=True to replace it"
        )


class AsyncHandlerError(CQRSError, TypeError):
    """Report a dispatch that would have to wait where waiting is not possible.

    `execute` cannot run what is async: await `execute_async` instead.

    Attributes:
        name: the name of the message.
        reason: what is async about its route.
        hint: what to do instead.
    """

    def __init__(
        self,
        name: str,
        reason: str = "its handler is async",
        hint: str = "await bus.execute_async(message) instead of calling execute",
    ) -> None:
        super().__init__()
        self.name = name
        self.reason = reason
        self.hint = hint

    def __str__(self) -> str:
        return f"{_quote(self.name)} cannot be executed: {self.reason}; {self.hint}"


class ValidationError(CQRSError, ValueError):
    """Report a message or payload that breaks its own rules; correct the input.

    A text given instead of the list becomes one error of the path `$`.

    Attributes:
        errors: a list of (path, code, message); no value is ever part of it.
        name: the name of the message, or None where it is not known.
    """

    outcome = "invalid"

    def __init__(
        self, errors: Iterable[tuple[str, str, str]] | str, name: str | None = None
    ) -> None:
        super().__init__()
        self.errors: list[tuple[str, str, str]]
        if isinstance(errors, str):
            self.errors = [("$", "invalid", errors)]
        else:
            self.errors = [(path, code, message) for path, code, message in errors]
        self.name = name

    def __str__(self) -> str:
        subject = "invalid message" if self.name is None else f"invalid {self.name}"
        if not self.errors:
            return subject
        listed = "; ".join(f"{path}: {message}" for path, _, message in self.errors)
        return f"{subject}: {listed}"


class ResultTypeError(CQRSError, TypeError):
    """Report a result of another type than the caller asked for.

    Correct the handler, or the type passed to `execute_typed`.

    Attributes:
        expected: the type that was asked for, as text.
        actual: the type that came, as text; never the value.
        name: the name of the message, or None.
        path: where in the result, `$` for the result itself.
    """

    def __init__(
        self, expected: str, actual: str, name: str | None = None, path: str = "$"
    ) -> None:
        super().__init__()
        self.expected = expected
        self.actual = actual
        self.name = name
        self.path = path

    def __str__(self) -> str:
        subject = "the result" if self.name is None else f"the result of {self.name}"
        where = "" if self.path == "$" else f" at {self.path}"
        return f"{subject}{where} is {self.actual}, expected {self.expected}"


class DeadlineExceededError(CQRSError, TimeoutError):
    """Report a call whose time was up; give it more time, or make it faster.

    Attributes:
        timeout: the time allowed in seconds, or None where only a deadline is known.
        stage: "queue" (while it waited), "handler" (while or after it ran) or
            "context" (its context was over before the handler began).
        name: the name of the message, or None where it is not known.
    """

    outcome = "timeout"

    # OSError is a base: it leaves parsing of the arguments to __init__ where a
    # subclass overrides only that, and so takes none of ours for an errno.
    def __init__(
        self,
        timeout: float | None = None,
        stage: str = "context",
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.timeout = timeout
        self.stage = stage
        self.name = name

    def __str__(self) -> str:
        subject = "" if self.name is None else f"{_quote(self.name)}: "
        limit = "" if self.timeout is None else f" of {_seconds(self.timeout)}"
        when = {
            "queue": "while the call waited",
            "handler": "in the handler",
            "context": "before the handler began",
        }.get(self.stage, f"in stage {_quote(self.stage)}")
        return f"{subject}the deadline{limit} passed {when}"


class ContextCancelledError(CQRSError):
    """Report a context that its owner cancelled; the work is no longer wanted.

    Attributes:
        reason: what `cancel` was given, or None.
    """

    outcome = "cancelled"

    def __init__(self, reason: str | None = None) -> None:
        super().__init__()
        self.reason = reason

    def __str__(self) -> str:
        if self.reason is None:
            return "the context was cancelled"
        return f"the context was cancelled: {self.reason}"


class ConfigError(CQRSError, ValueError):
    """Report a configuration that cannot be used; correct the key it names.

    Attributes:
        message: what is wrong.
        path: the file or the environment variable, as text, or None.
        key: the key path inside it, such as `middleware.retry.max_attempts`, or None.
        hint: what to write instead, such as the nearest valid key, or None.
    """

    def __init__(
        self,
        message: str,
        path: object = None,
        key: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__()
        self.message = message
        self.path = None if path is None else str(path)
        self.key = key
        self.hint = hint

    def __str__(self) -> str:
        where = [part for part in (self.path, self.key) if part]
        text = ": ".join([*where, self.message])
        return f"{text} ({self.hint})" if self.hint else text


class IdempotencyConflictError(CQRSError):
    """Report an idempotency key that was used before with other field values.

    Send a new key for a new command, or the same fields for a repeated one.

    Attributes:
        name: the name of the command, or None.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__()
        self.name = name

    def __str__(self) -> str:
        subject = "the command" if self.name is None else _quote(self.name)
        return (
            f"the idempotency key of {subject} was used before with other fields; "
            "use a new key for a new command"
        )


class RejectedError(CQRSError):
    """Report a call that a policy refused before its handler ran; try later.

    Attributes:
        retry_after: seconds (>= 0) after which this call would be admitted if nobody
            else called, or None where that is not known.
        middleware: the class name of the middleware that refused, or None.
        name: the name of the message, or None.
    """

    outcome = "rejected_other"

    # Rejections come at high rates: the constructors of this branch only store, and
    # into slots, which spares each of them a dictionary.
    __slots__ = ("middleware", "name", "retry_after")

    def __init__(
        self,
        retry_after: float | None = None,
        middleware: str | None = None,
        name: str | None = None,
    ) -> None:
        self.retry_after = retry_after
        self.middleware = middleware
        self.name = name

    def _why(self) -> str:
        return "it is not admitted now"

    def __str__(self) -> str:
        subject = "the call" if self.name is None else _quote(self.name)
        by = "" if self.middleware is None else f" by {self.middleware}"
        text = f"{subject} was rejected{by}: {self._why()}"
        if self.retry_after is None:
            return text
        return f"{text}; retry after {_seconds(self.retry_after)}"


class RateLimitExceededError(RejectedError):
    """Report a call beyond the allowed rate; wait `retry_after` seconds.

    Attributes:
        limit: calls allowed in a window, or None.
        window: length of the window in seconds, or None.
        remaining: tokens left at the time of the call.
    """

    outcome = "rejected_rate"

    __slots__ = ("limit", "remaining", "window")

    def __init__(
        self,
        retry_after: float | None = None,
        middleware: str | None = None,
        name: str | None = None,
        limit: int | None = None,
        window: float | None = None,
        remaining: int = 0,
    ) -> None:
        self.retry_after = retry_after
        self.middleware = middleware
        self.name = name
        self.limit = limit
        self.window = window
        self.remaining = remaining

    def _why(self) -> str:
        if self.limit is None or self.window is None:
            return "the rate limit is reached"
        return f"the limit of {self.limit} calls in {_seconds(self.window)} is reached"


class CircuitOpenError(RejectedError):
    """Report a call to a handler whose circuit breaker is open; let it recover.

    Attributes:
        state: the breaker's state, such as "open", "half-open" or "forced-open".
        failures: consecutive failures that the breaker has counted.
    """

    outcome = "rejected_open"

    __slots__ = ("failures", "state")

    def __init__(
        self,
        retry_after: float | None = None,
        middleware: str | None = None,
        name: str | None = None,
        state: str = "open",
        failures: int = 0,
    ) -> None:
        self.retry_after = retry_after
        self.middleware = middleware
        self.name = name
        self.state = state
        self.failures = failures

    def _why(self) -> str:
        return f"the circuit is {self.state} after {self.failures} failures"


class BulkheadFullError(RejectedError):
    """Report a call beyond the allowed concurrency; try when others have ended.

    Attributes:
        in_flight: calls that were running.
        limit: calls that may run at once.
    """

    outcome = "rejected_bulkhead"

    __slots__ = ("in_flight", "limit")

    def __init__(
        self,
        retry_after: float | None = None,
        middleware: str | None = None,
        name: str | None = None,
        in_flight: int = 0,
        limit: int = 0,
    ) -> None:
        self.retry_after = retry_after
        self.middleware = middleware
        self.name = name
        self.in_flight = in_flight
        self.limit = limit

    def _why(self) -> str:
        return f"{self.in_flight} of {self.limit} concurrent calls are running"


class OverloadedError(RejectedError):
    """Report a call that would be done too late, or for which a store has no room.

    Try later; raise the bound of the store, or shorten its time to live.
    """

    __slots__ = ()

    def _why(self) -> str:
        return "there is no room or no time for it"


class IdempotencyInProgressError(RejectedError):
    """Report a duplicate of a command that is still running; ask again later."""

    __slots__ = ()

    def _why(self) -> str:
        return "the same command is still in progress"


class PoolExhaustedError(RejectedError):
    """Report a pool without a free object; enlarge it or allow waiting."""

    __slots__ = ()

    def _why(self) -> str:
        return "every object of the pool is in use"


class BusClosedError(RejectedError):
    """Report a dispatch on a bus that is closed or closing; use a bus that is open."""

    outcome = "rejected_closed"

    __slots__ = ()

    def _why(self) -> str:
        return "the bus is closed"


class MiddlewareOrderWarning(UserWarning):
    """Warn of middleware in an order that defeats what one of them is for.

    The text names both, says what goes wrong and which order to use instead.
    """
