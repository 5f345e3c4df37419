"""What does the guide's production benchmark cost with hand-written dispatch instead?

The loop is that of the guide: one of three times a CreateUser, else a GetUser of one of
1000 users, both made anew with random numbers drawn in the loop, on two buses with the
high-throughput preset, in one thread and in as many as there are cores. The handlers do
nothing; queries that were asked before come from the preset's cache.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

from benchmarks import workload
from benchmarks.environment import cores
from benchmarks.suite import run
from benchmarks.table import AnyRow, Operation, Pair, Table, ThreadsOperation
from benchmarks.workload import CONTEXT, ContextDispatcher, CreateUser, GetUser
from cqrs_fast import CommandBus, QueryBus, high_throughput_config

USERS = 1_000
DRAWN = 1_000
"""So many dispatches follow from one seed."""
RUNS = 40
"""Of so many dispatches, in all threads together: some switch intervals."""
SEED = 1
ROUNDS = 10
LOOP = f"""
seed({SEED})
for _ in range({DRAWN}):
    if randrange(3) == 0:
        result = command(CreateUser("Test User", "test@example.com"), ctx)
    else:
        result = query(GetUser(randrange({USERS})), ctx)
"""
WITHOUT = f"""
seed({SEED})
for _ in range({DRAWN}):
    if randrange(3) == 0:
        CreateUser("Test User", "test@example.com")
    else:
        GetUser(randrange({USERS}))
    result = 1
"""
HAND_WRITTEN = "the same loop, hand-written dict dispatch"
ROWS = Table()

Maker = Callable[..., Operation]


def drawn_commands() -> list[bool]:
    """Return which of the dispatches of one seed are commands."""
    source = random.Random(SEED)
    drawn = []
    for _ in range(DRAWN):
        drawn.append(source.randrange(3) == 0)
        if not drawn[-1]:
            source.randrange(USERS)
    return drawn


def loop(make: Maker, statement: str, calls: list[str], **names: Any) -> Operation:
    source = random.Random(SEED)
    return make(
        statement,
        calls=calls,
        seed=source.seed,
        randrange=source.randrange,
        CreateUser=CreateUser,
        GetUser=GetUser,
        **names,
    )


def through_buses(make: Maker) -> Operation:
    config = high_throughput_config()
    commands = CommandBus.from_config(config)
    queries = QueryBus.from_config(config)
    commands.register_handler(CreateUser, workload.create)
    queries.register_handler(GetUser, workload.create)
    for number in range(USERS):
        queries.execute(GetUser(number), CONTEXT)
    return loop(
        make,
        LOOP,
        ["create"] * sum(drawn_commands()),
        command=commands.execute,
        query=queries.execute,
        ctx=CONTEXT,
    )


def by_hand(make: Maker) -> Operation:
    handler = workload.create_with_context
    return loop(
        make,
        LOOP,
        ["execute", "create_with_context"] * DRAWN,
        command=ContextDispatcher({CreateUser: handler}).execute,
        query=ContextDispatcher({GetUser: handler}).execute,
        ctx=CONTEXT,
    )


def nothing(make: Maker) -> Operation:
    """Return the loop alone: it draws, makes the messages and sends them nowhere."""
    return loop(make, WITHOUT, [])


in_one: Maker = functools.partial(Operation, per=DRAWN)


@ROWS.row("the guide's production workload, 1 thread", against=HAND_WRITTEN)
def _() -> Pair:
    return Pair(through_buses(in_one), by_hand(in_one))


@ROWS.row(
    "the guide's production workload, its dispatches alone",
    against="hand-written dict dispatch",
    parts=("case", "baseline", "without", "baseline_without"),
)
def _() -> Pair:
    return Pair(
        through_buses(in_one),
        by_hand(in_one),
        without=nothing(in_one),
        baseline_without=nothing(in_one),
    )


@ROWS.row(
    "the guide's production workload, as many threads as cores",
    against=f"{HAND_WRITTEN}, in as many threads",
    rounds=ROUNDS,
)
def _() -> Pair:
    make: Maker = functools.partial(
        ThreadsOperation, threads=cores(), times=RUNS, each=DRAWN
    )
    return Pair(through_buses(make), by_hand(make))


def test_production(benchmark: Any, row: AnyRow, part: str) -> None:
    run(benchmark, row, part)
