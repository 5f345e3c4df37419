"""Hunter 2: objects that lie about their class, and containers that change meanwhile.

`lie KIND LIAR WRAPPER`: an object that `isinstance` takes for one of the annotated
class is validated, and is part of the key of a cache and of an idempotent command.
`walk CONTAINER TRICK OPERATION`: an item of a container changes the container while it
is compared, hashed or looked at. Each may raise any Exception but SystemError; none may
end the process, or hang.
"""

from __future__ import annotations

import gc
import types
from contextlib import suppress
from typing import Any

from hunters.hunting import Ask, Effort, Hunter, ask_together, run_parts
from hunters.lies import CONTAINERS, KINDS, LIARS, TRICKS, WRAPPERS

from cqrs_fast import (
    CachingMiddleware,
    Command,
    CommandBus,
    IdempotencyMiddleware,
    Query,
    QueryBus,
    ValidationMiddleware,
)

ROUNDS = 12
# What validation refuses to check.
NOT_CHECKED: tuple[str, ...] = ()


class Kit:
    """The buses that look at a field of one annotation."""

    def __init__(self, annotation: Any) -> None:
        self.get = Get = message("Get", Query, annotation)
        self.put = Put = message("Put", Command, annotation)
        self.validating = QueryBus(middleware=[ValidationMiddleware()])
        self.caching = QueryBus(middleware=[CachingMiddleware(60.0, max_size=8)])
        self.idempotent = CommandBus(
            middleware=[IdempotencyMiddleware(key=lambda message: message.field)]
        )
        self.validating.register_handler(Get, lambda message: 1)
        self.caching.register_handler(Get, lambda message: 1)
        self.idempotent.register_handler(Put, lambda message: 1)

    def look(self, operation: str, value: Any) -> None:
        """Let the buses look at a value; any Exception but SystemError is an answer."""
        try:
            if operation == "validate":
                self.validating.execute(self.get(value))
            elif operation == "cache":
                self.caching.execute(self.get(value))
            elif operation == "idempotency":
                self.idempotent.execute(self.put(value))
        except (SystemError, MemoryError):
            raise
        except Exception:
            return


def message(name: str, base: Any, annotation: Any) -> Any:
    """Make a class of messages with one field of an annotation."""
    fields = {"__annotations__": {"field": annotation}, "__module__": __name__}
    return types.new_class(name, (base,), {}, lambda space: space.update(fields))


OPERATIONS = ("validate", "cache", "idempotency")


def lie(kind: str, liar: str, wrapper: str) -> None:
    true = KINDS[kind]
    wrap, wrapped = WRAPPERS[wrapper]
    try:
        kit = Kit(wrap(true.annotation))
        value = wrapped(true.make())
    except TypeError:
        # It cannot be annotated so: it has no hash, or msgspec does not know it.
        assert wrapper != "plain" or kind in NOT_CHECKED
        return
    # Else nothing would be looked at.
    assert kit.validating.execute(kit.get(value)) == 1
    for operation in OPERATIONS:
        for _ in range(ROUNDS):
            with suppress(TypeError, AttributeError, ValueError):
                value = wrapped(LIARS[liar](true))
                kit.look(operation, value)
        # What was read wrongly may be freed wrongly.
        churn()


def walk(container: str, trick: str, operation: str) -> None:
    one = CONTAINERS[container]
    kit = Kit(one.annotation)
    for round in range(40):
        value, ruin = one.make()
        for item in TRICKS[trick](ruin, round):
            with suppress(TypeError, AttributeError):
                one.add(value, item)
        kit.look(operation, value)
        churn()


def churn() -> None:
    """Let memory that was freed be used again."""
    junk = [bytes(40 + size) for size in range(64)]
    junk += [[number] for number in range(64)]
    del junk
    gc.collect(0)


def run_one(scenario: str) -> None:
    kind, *rest = scenario.split(" ")
    (lie if kind == "lie" else walk)(*rest)


def hunt(ask: Ask, effort: Effort) -> None:
    for kind in KINDS:
        lies = [
            f"lie {kind} {liar} {wrapper}"
            for liar in LIARS
            for wrapper in (WRAPPERS if effort.whole else ("plain", "list"))
        ]
        ask_each(ask, effort, lies)
    for container in CONTAINERS:
        walks = [
            f"walk {container} {trick} {operation}"
            for trick in TRICKS
            for operation in OPERATIONS
        ]
        ask_each(ask, effort, walks)


def ask_each(ask: Ask, effort: Effort, scenarios: list[str]) -> None:
    """Ask for each in a process of its own; in the short form for all in one."""
    for together in [[one] for one in scenarios] if effort.whole else [scenarios]:
        ask_together(ask, together)


HUNTER = Hunter(
    "liars",
    "what lies to isinstance, or changes while it is walked",
    run_parts(run_one),
    hunt,
    seconds=15.0,
)
