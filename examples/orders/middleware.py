"""Three ways to wrap handlers, each where it fits best."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cqrs_fast import Context, Middleware, middleware

from .errors import NotAuthenticated
from .repository import Repository

Next = Callable[[Context, Any], Any]


class Journal(Middleware):
    """Hooks: note every command that reached the handlers, and what came of it.

    It lies outside the transaction, so a failure is noted although it was rolled back.
    """

    timed = True

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    def after(self, call: Any) -> None:
        """Note a success."""
        self.note(call, "ok")

    def on_error(self, call: Any) -> None:
        """Note a failure by its class; its text may name what is nobody's business."""
        self.note(call, type(call.error).__name__)

    def note(self, call: Any, outcome: str) -> None:
        """Write one entry."""
        self.repository.add_entry(call.name, outcome, call.elapsed_ns // 1000)


def in_transaction(repository: Repository) -> Callable[[Context, Any], Iterator[None]]:
    """Generator: run what is inside as one transaction, rolled back if it raises.

    The `yield` is over when the handler is, also when that is async: only then it
    commits.
    """

    @middleware
    def transaction(ctx: Context, message: Any) -> Iterator[None]:
        with repository.transaction():
            yield

    return transaction


def authentication(
    users: Mapping[str, str], default: str | None = None
) -> Callable[[Next], Next]:
    """Factory: let the caller act as the user whose token the context carries.

    It only hands on what `next` returns, and may say so: an async handler is right too.

    Parameters:
        users: the user of each token.
        default: who acts where there is no token; None refuses it.
    """

    @middleware(returns_awaitable=True)
    def wrap(next: Next) -> Next:
        def handle(ctx: Context, message: Any) -> Any:
            token = ctx.value("auth_token")
            user = default if token is None else users.get(token)
            if user is None:
                raise NotAuthenticated("a valid token is required")
            return next(ctx.with_principal(user), message)

        return handle

    return wrap
