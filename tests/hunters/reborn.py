"""Hunter 1: objects that were made by `__new__` alone, and initialised twice.

`new MODULE.CLASS ATTRIBUTE`: an object without its `__init__` is asked for an
attribute, which is called with arguments of many kinds where it can be called. `given
MODULE.CLASS CONSUMER`: such an object is given to what takes one of its kind. `again
SITUATION, HOW, ENDING`: a stage is initialised again while dispatches are parked in it.

Each may raise any Exception; none may end the process, hang, or lose count.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import importlib
import pickle
import pkgutil
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from hunters import parked
from hunters.hunting import Ask, Effort, Hunter, ask_together, run_parts

import cqrs_fast
from cqrs_fast import Command, CommandBus, Context, ObjectPool, Query, QueryBus

# A fault of the interpreter in what it passes on, not an answer.
WRONG = (SystemError,)


class Get(Query[int]):
    number: int = 0


class Put(Command[int]):
    number: int = 0


def classes() -> Iterator[str]:
    """Find all extension classes, as MODULE.CLASS."""
    for module in pkgutil.walk_packages(cqrs_fast.__path__, "cqrs_fast."):
        if "examples" in module.name:
            continue
        loaded = importlib.import_module(module.name)
        if not (getattr(loaded, "__file__", None) or "").endswith(".so"):
            continue
        for name, value in sorted(vars(loaded).items()):
            if isinstance(value, type) and value.__module__ == module.name:
                yield f"{module.name}.{name}"


def found(path: str) -> type[Any]:
    module, _, name = path.rpartition(".")
    cls: type[Any] = getattr(importlib.import_module(module), name)
    return cls


def bare(cls: type[Any]) -> Any:
    """Make an object without its `__init__`; None where that is refused."""
    with suppress(TypeError):
        return cls.__new__(cls)
    return None


OPERATORS: dict[str, Callable[[Any], Any]] = {
    "repr": repr,
    "str": str,
    "hash": hash,
    "len": len,
    "bool": bool,
    "list": lambda one: list(zip(range(3), one, strict=False)),
    "reversed": lambda one: list(zip(range(3), reversed(one), strict=False)),
    "next": next,
    "equal": lambda one: one == one,
    "less": lambda one: one < 1,
    "contains": lambda one: 1 in one,
    "getitem": lambda one: one[0],
    "setitem": lambda one: one.__setitem__(0, 0),
    "delitem": lambda one: one.__delitem__(0),
    "call": lambda one: one(),
    "call with": lambda one: one(None, 1),
    "with": lambda one: one.__enter__(),
    "exit": lambda one: one.__exit__(None, None, None),
    "await": lambda one: stepped(one.__await__()),
    "async with": lambda one: stepped(one.__aenter__()),
    "async exit": lambda one: stepped(one.__aexit__(None, None, None)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "weak": weakref.ref,
    "collect": lambda one: gc.collect(),
    "init": lambda one: one.__init__(),
    "init with": lambda one: one.__init__(1, 1.0),
    "init twice": lambda one: (one.__init__(), one.__init__()),
    "drop": lambda one: None,
}


def stepped(steps: Any) -> Any:
    """Step an iterator or coroutine once, and close it."""
    try:
        return steps.send(None)
    finally:
        steps.close()


def arguments(one: Any) -> Iterator[tuple[Any, ...]]:
    """Give arguments of many kinds, the object itself among them."""
    values = [None, 0, 1, 1.0, "a", one, Get(1), Context.background(), len, [], {}]
    yield ()
    for first in values:
        yield (first,)
    for first in values:
        for second in (None, 1, one, Get(1)):
            yield first, second
    for first in (None, 1, one):
        yield first, one, None
        yield first, Get(1), one, 1


def tried(function: Callable[..., Any], *given: Any) -> None:
    """Call something that may raise any Exception but a fault's."""
    try:
        result = function(*given)
        if hasattr(result, "send") and hasattr(result, "close"):
            with suppress(StopIteration):
                stepped(result)
    except WRONG:
        raise
    except Exception:
        return
    except (GeneratorExit, asyncio.CancelledError):
        return


def try_attribute(cls: type[Any], name: str) -> None:
    if name in OPERATORS:
        one = bare(cls)
        if one is not None:
            tried(OPERATORS[name], one)
        return
    one = bare(cls)
    tried(setattr, one, name, 1)
    tried(setattr, one, name, None)
    tried(delattr, one, name)
    for given in arguments(one):
        one = bare(cls)
        try:
            value = getattr(one, name)
        except WRONG:
            raise
        except Exception:
            return
        tried(repr, value)
        if not callable(value):
            return
        tried(value, *given)


# Consumers


def on_buses(one: Any, *others: Any) -> None:
    for bus_class, message in ((QueryBus, Get), (CommandBus, Put)):
        bus = bus_class(middleware=[one, *others])
        bus.register_handler(message, lambda message: message.number)
        tried(bus.explain, message)
        tried(bus.stats)
        for number in range(3):
            tried(bus.execute, message(number))
            tried(bus.execute_async, message(number))
        tried(bus.execute_many, [message(1), message(2)])
        bus.close(0)


def bus_with(how: Callable[[Any, Any], Any], one: Any) -> None:
    bus = QueryBus()
    bus.register_handler(Get, lambda message: message.number)
    tried(how, bus, one)
    tried(bus.execute, Get(1))
    bus.close(0)


def clocked(one: Any) -> None:
    for name in ("RateLimitingMiddleware", "CachingMiddleware", "RetryMiddleware"):
        tried(lambda name=name: on_buses(getattr(cqrs_fast, name)(clock=one)))
    tried(lambda: QueryBus(clock=one))
    tried(lambda: Context.background(clock=one).with_timeout(1.0).remaining())
    tried(lambda: cqrs_fast.TokenBucket(1, 1.0, clock=one).try_acquire())
    tried(lambda: cqrs_fast.LRUCache(3, 1.0, clock=one).set(1, 1))
    tried(lambda: cqrs_fast.CircuitBreaker(1, 1.0, clock=one).call(len, ()))
    tried(lambda: ObjectPool(list, 1, clock=one).acquire())


CONSUMERS: dict[str, Callable[[Any], None]] = {
    "middleware": lambda one: tried(on_buses, one),
    "inner middleware": lambda one: tried(
        on_buses, cqrs_fast.TimeoutMiddleware(1.0), one
    ),
    "added": lambda one: bus_with(lambda bus, one: bus.add_middleware(one), one),
    "context": lambda one: bus_with(lambda bus, one: bus.execute(Get(1), one), one),
    "context, async": lambda one: bus_with(
        lambda bus, one: stepped(bus.execute_async(Get(1), one)), one
    ),
    "message": lambda one: bus_with(lambda bus, one: bus.execute(one), one),
    "messages": lambda one: bus_with(lambda bus, one: bus.execute_many(one), one),
    "handler": lambda one: bus_with(
        lambda bus, one: (
            bus.register_handler("name", one),
            bus.register_handler(Get, one, replace=True),
        ),
        one,
    ),
    "result": lambda one: bus_with(
        lambda bus, one: (
            bus.register_handler(Get, lambda message: one, replace=True),
            stepped(bus.execute_async(Get(1))),
        ),
        one,
    ),
    "clock": clocked,
    "merged": lambda one: tried(cqrs_fast.LatencyHistogram().merge, one),
    "measured": lambda one: tried(type(one), one),
    "pool": lambda one: tried(lambda: ObjectPool(one, 1).acquire()),
    "cache": lambda one: tried(lambda: cqrs_fast.LRUCache(3).update(one)),
}


def run_one(scenario: str) -> None:
    kind, _, rest = scenario.partition(" ")
    if kind == "again":
        parked.run(rest)
        return
    path, _, name = rest.partition(" ")
    if kind == "new":
        try_attribute(found(path), name)
        return
    one = bare(found(path))
    if one is not None:
        CONSUMERS[name](one)


def hunt(ask: Ask, effort: Effort) -> None:
    for path in classes():
        cls = found(path)
        if bare(cls) is None:
            continue
        names = [name for name in dir(cls) if not name.startswith("__")]
        asked = [f"new {path} {name}" for name in (*names, *OPERATORS)]
        asked += [f"given {path} {name}" for name in CONSUMERS]
        for together in [[one] for one in asked] if effort.whole else [asked]:
            ask_together(ask, together)
    endings = parked.ENDINGS if effort.whole else parked.SHORT_ENDINGS
    for situation in parked.SITUATIONS:
        ask_together(ask, [f"again {situation}, {how}" for how in endings])


HUNTER = Hunter(
    "reborn",
    "objects without __init__, or with two",
    run_parts(run_one),
    hunt,
    seconds=15.0,
)
