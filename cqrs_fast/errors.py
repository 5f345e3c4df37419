"""The errors of cqrs_fast: one tree below `CQRSError`.

Each error has plain, typed attributes and builds its text only when it is read. None
holds a field value of a message, a result or a context value. A pickled or copied one
has the type, the arguments and the plain attributes, but no notes, cause or traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from cqrs_fast.base.naming import no_handler_text, quoted, seconds_text


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
    """Report a failure of the library itself; the base of all its errors.

    Attributes:
        outcome: the metric outcome that a dispatch ending with this error counts as.
        correlation_id, principal: those of the dispatch that ended with it, or None.
    """

    outcome: ClassVar[str] = "error"
    correlation_id: Any = None
    principal: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by type and plain attributes; notes stay behind."""
        plain: Any = object.__getstate__(self)  # a dict, or that and one of slots
        parts = plain if isinstance(plain, tuple) else (plain,)
        state = {key: part[key] for part in parts if part for key in part}
        state.pop("__notes__", None)
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
        self.name, self.hint, self._names = name, hint, tuple(registered)

    @property
    def registered(self) -> list[str]:
        """Return the sorted names that have a handler on this bus."""
        return sorted(self._names)

    def public(self) -> dict[str, Any]:
        """Return what a client may see: no name of a message."""
        return {"code": "handler_not_found", "message": "unknown message"}

    def __str__(self) -> str:
        return no_handler_text(self.name, self.hint, self.registered)


class HandlerAlreadyRegisteredError(CQRSError):
    """Report a second handler for one message; pass `replace=True` to swap it.

    Attributes:
        name: the name of the message.
        handler: a description of the handler that is registered, or None.
        hint: what to do instead of replacing it, or None.
    """

    def __init__(self, name: str, handler: Any = None, hint: Any = None) -> None:
        super().__init__()
        self.name, self.handler, self.hint = name, handler, hint

    def __str__(self) -> str:
        by = f" handler: {self.handler}" if self.handler else " handler"
        end = f". {self.hint}" if self.hint else "; pass replace=True to replace it"
        return f"{quoted(self.name)} already has a{by}{end}"


class AsyncHandlerError(CQRSError, TypeError):
    """Report a synchronous dispatch of an async route.

    `execute` cannot run async code: await `execute_async` instead.

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
        self.name, self.reason, self.hint = name, reason, hint

    def __str__(self) -> str:
        return f"{quoted(self.name)} cannot be executed: {self.reason}; {self.hint}"


class ValidationError(CQRSError, ValueError):
    """Report a message or payload that breaks its own rules; correct the input.

    A text in place of the list becomes one error at the path `$`.

    Attributes:
        errors: a list of (path, code, message), without any value of the input.
        name: the name of the message, or None if it is not known.
    """

    outcome = "invalid"

    def __init__(
        self, errors: Iterable[tuple[str, str, str]] | str, name: str | None = None
    ) -> None:
        super().__init__()
        if isinstance(errors, str):
            errors = [("$", "invalid", errors)]
        self.errors = [(path, code, message) for path, code, message in errors]
        self.name = name

    def __str__(self) -> str:
        subject = "invalid message" if self.name is None else f"invalid {self.name}"
        listed = "; ".join(f"{path}: {message}" for path, _, message in self.errors)
        return f"{subject}: {listed}" if listed else subject


class ResultTypeError(CQRSError, TypeError):
    """Report a result of another type than the caller asked for.

    Correct the handler, or the type passed to `execute_typed`.

    Attributes:
        expected, actual: the type that was asked for, and the one that came, as text.
        name: the name of the message, or None.
        path: where in the result, `$` for the result itself.
    """

    def __init__(
        self, expected: str, actual: str, name: str | None = None, path: str = "$"
    ) -> None:
        super().__init__()
        self.expected, self.actual = expected, actual
        self.name, self.path = name, path

    def __str__(self) -> str:
        subject = "the result" if self.name is None else f"the result of {self.name}"
        where = "" if self.path == "$" else f" at {self.path}"
        return f"{subject}{where} is {self.actual}, expected {self.expected}"


class DeadlineExceededError(CQRSError, TimeoutError):
    """Report a call that took too long; give it more time, or make it faster.

    Attributes:
        timeout: the time allowed in seconds, or None if only a deadline is known.
        stage: "queue" (while it waited), "handler" (while or after it ran) or
            "context" (the deadline of its context passed before the handler began).
        name: the name of the message, or None if it is not known.
    """

    outcome = "timeout"

    # OSError, a base, parses no arguments in __new__ if a subclass overrides only
    # __init__, so it takes none of these for an errno.
    def __init__(
        self, timeout: float | None = None, stage: str = "context",
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.timeout, self.stage, self.name = timeout, stage, name

    def __str__(self) -> str:
        subject = "" if self.name is None else f"{quoted(self.name)}: "
        limit = "" if self.timeout is None else f" of {seconds_text(self.timeout)}"
        when = {
            "queue": "while the call waited",
            "handler": "in the handler",
            "context": "before the handler began",
        }.get(self.stage, f"in stage {quoted(self.stage)}")
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
        why = "" if self.reason is None else f": {self.reason}"
        return f"the context was cancelled{why}"


class ConfigError(CQRSError, ValueError):
    """Report a configuration that cannot be used; correct the key it names.

    Attributes:
        message: what is wrong.
        path: the file or the environment variable, as text, or None.
        key: the key path inside it, such as `middleware.retry.max_attempts`, or None.
        hint: what to write instead, such as the nearest valid key, or None.
        others: the errors of the rest of the file; the text has a line for each.
    """

    others: tuple[ConfigError, ...] = ()

    def __init__(
        self, message: str, path: object = None, key: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__()
        self.message, self.key, self.hint = message, key, hint
        self.path = None if path is None else str(path)

    def __str__(self) -> str:
        where = [part for part in (self.path, self.key) if part]
        text = ": ".join([*where, self.message])
        text += f" ({self.hint})" if self.hint else ""
        return "\n".join([text, *map(str, self.others)])


class IdempotencyConflictError(CQRSError):
    """Report an idempotency key that was used before with other fields; use a new one.

    Attributes:
        name: the name of the command, or None.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__()
        self.name = name

    def __str__(self) -> str:
        of = "the command" if self.name is None else quoted(self.name)
        return (
            f"the idempotency key of {of} was used before with other fields; use a new "
            "key for a new command"
        )


class RejectedError(CQRSError):
    """Report a call that a policy rejected before its handler ran; try later.

    Attributes:
        retry_after: seconds (>= 0) after which this call would be admitted if nobody
            else called, or None.
        middleware: the class name of the middleware that refused, or None.
        name: the name of the message, or None.
    """

    outcome = "rejected_other"
    _reason: ClassVar[str] = "it is not admitted now"
    # Rejections come at high rates: slots spare each of them a dictionary.
    __slots__ = ("middleware", "name", "retry_after")

    def __init__(
        self, retry_after: float | None = None, middleware: str | None = None,
        name: str | None = None,
    ) -> None:
        self.retry_after, self.middleware, self.name = retry_after, middleware, name

    def _why(self) -> str:
        return self._reason.format(self)

    def __str__(self) -> str:
        subject = "the call" if self.name is None else quoted(self.name)
        by = "" if self.middleware is None else f" by {self.middleware}"
        text, after = f"{subject} was rejected{by}: {self._why()}", self.retry_after
        return text if after is None else f"{text}; retry after {seconds_text(after)}"


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
        self, retry_after: float | None = None, middleware: str | None = None,
        name: str | None = None, limit: int | None = None, window: float | None = None,
        remaining: int = 0,
    ) -> None:
        RejectedError.__init__(self, retry_after, middleware, name)
        self.limit, self.window, self.remaining = limit, window, remaining

    def _why(self) -> str:
        if self.limit is None or self.window is None:
            return "the rate limit is reached"
        window = seconds_text(self.window)
        return f"the limit of {self.limit} calls in {window} is reached"


class CircuitOpenError(RejectedError):
    """Report a call to a handler whose circuit breaker is open; let it recover.

    Attributes:
        state: the breaker's state, such as "open", "half-open" or "forced-open".
        failures: consecutive failures that the breaker has counted.
    """

    outcome = "rejected_open"
    _reason = "the circuit is {0.state} after {0.failures} failures"
    __slots__ = ("failures", "state")

    def __init__(
        self, retry_after: float | None = None, middleware: str | None = None,
        name: str | None = None, state: str = "open", failures: int = 0,
    ) -> None:
        RejectedError.__init__(self, retry_after, middleware, name)
        self.state, self.failures = state, failures


class BulkheadFullError(RejectedError):
    """Report a call beyond the allowed concurrency; try when others have ended.

    Attributes:
        in_flight: calls that were running.
        limit: calls that may run at once.
    """

    outcome = "rejected_bulkhead"
    _reason = "{0.in_flight} of {0.limit} concurrent calls are running"
    __slots__ = ("in_flight", "limit")

    def __init__(
        self, retry_after: float | None = None, middleware: str | None = None,
        name: str | None = None, in_flight: int = 0, limit: int = 0,
    ) -> None:
        RejectedError.__init__(self, retry_after, middleware, name)
        self.in_flight, self.limit = in_flight, limit


class OverloadedError(RejectedError):
    """Report a call that would end too late, or has no room in a store."""

    _reason = "there is no room or no time for it"
    __slots__ = ()


class IdempotencyInProgressError(RejectedError):
    """Report a duplicate of a command that is still running; ask again later."""

    _reason = "the same command is still in progress"
    __slots__ = ()


class PoolExhaustedError(RejectedError):
    """Report a pool without a free object; enlarge it or allow waiting."""

    _reason = "every object of the pool is in use"
    __slots__ = ()


class BusClosedError(RejectedError):
    """Report a dispatch on a bus that is closed or closing; use a bus that is open."""

    outcome = "rejected_closed"
    _reason = "the bus is closed"
    __slots__ = ()


class MiddlewareOrderWarning(UserWarning):
    """Warn of an order of middleware that defeats one of them; tell the right one."""
