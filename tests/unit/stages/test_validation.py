"""ValidationMiddleware: a message that was built in Python keeps its own rules."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import tracemalloc
import weakref
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from msgspec import Meta

from cqrs_fast import Command, CommandBus, Query, QueryBus, Secret, ValidationError
from cqrs_fast.stages.validation import ValidationMiddleware

SECRET = "hunter2"
Age = Annotated[int, Meta(ge=0, le=150)]


class CreateUser(Command[object]):
    name: Annotated[str, Meta(min_length=1, max_length=10)]
    age: Age = 0
    pin: Secret[str] = ""


class CreateAdmin(CreateUser):
    level: Annotated[int, Meta(ge=1)] = 1


class Period(Query[object]):
    first: int
    last: int

    def validate(self) -> None:
        if self.first > self.last:
            raise ValueError("first must not be after last")


class Moody(Command[object]):
    error: Any = None

    def validate(self) -> None:
        if self.error is not None:
            raise self.error


class Ping(Command[object]):
    pass


class Base(Command[object]):
    pass


class Derived(Base):
    age: Age = 0


@dataclass
class RenameCommand:
    name: Annotated[str, Meta(min_length=1)]


class World:
    """One way to dispatch: a sync handler and execute, or their async twins."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async

    def bus(self, message: Any, **settings: Any) -> CommandBus | QueryBus:
        def echo(message: Any) -> Any:
            return message

        async def echo_async(message: Any) -> Any:
            return message

        stage = ValidationMiddleware(**settings)
        kind = QueryBus if message is Period else CommandBus
        bus = kind(middleware=[stage])
        bus.register_handler(message, echo_async if self.is_async else echo)
        return bus

    def dispatch(self, bus: Any, message: Any) -> Any:
        if not self.is_async:
            return bus.execute(message)

        async def run() -> Any:
            return await bus.execute_async(message)

        return asyncio.run(run())


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


CASES = [
    (CreateUser, CreateUser("ann", 30), []),
    (CreateUser, CreateUser("", 30), ["$.name min_length"]),
    (CreateUser, CreateUser("ann", -1), ["$.age ge"]),
    (CreateUser, CreateUser(7, True), ["$.name type", "$.age type"]),  # type: ignore
    (CreateUser, CreateUser("n" * 11, 151), ["$.name max_length", "$.age le"]),
    (Period, Period(1, 2), []),
    (Period, Period(2, 1), ["$ invalid"]),
    (Period, Period("2", 1), ["$.first type"]),  # type: ignore
    (RenameCommand, RenameCommand("ann"), []),
    (RenameCommand, RenameCommand(""), ["$.name min_length"]),
    # A message of a subclass is served by the handler of its base …
    (CreateUser, CreateAdmin("ann", level=1), []),
    (CreateUser, CreateAdmin("", level=0), ["$.name min_length", "$.level ge"]),
    # … also where the base has nothing that could be wrong …
    (Base, Derived(150), []),
    (Base, Derived(151), ["$.age le"]),
    (Base, Base(), []),
    # … and one by name has a class that the route does not know.
    ("CreateUser", CreateUser("ann"), []),
    ("CreateUser", CreateUser("", 30), ["$.name min_length"]),
    ("Ping", Ping(), []),
]


@pytest.mark.parametrize(("registered", "message", "found"), CASES, ids=repr)
def test_a_message_is_held_to_the_rules_of_its_own_class(
    world: World, registered: Any, message: Any, found: list[str]
) -> None:
    bus = world.bus(registered)
    for _ in range(2):
        if not found:
            assert world.dispatch(bus, message) is message
            continue
        with pytest.raises(ValidationError) as caught:
            world.dispatch(bus, message)
        errors = caught.value.errors
        assert [f"{path} {code}" for path, code, _ in errors] == found


def test_the_error_has_the_messages_own_name_and_no_value(world: World) -> None:
    bus = world.bus(CreateUser)
    message = CreateAdmin(SECRET * 2, SECRET, 7)  # type: ignore[arg-type]
    with pytest.raises(ValidationError) as caught:
        world.dispatch(bus, message)
    error = caught.value
    assert error.name == "CreateAdmin"
    assert len(error.errors) == 3
    for text in (str(error), repr(error), repr(error.errors), repr(vars(error))):
        assert SECRET not in text


@pytest.mark.parametrize(("most", "found"), [(1, 1), (2, 2), (32, 3)])
def test_no_more_errors_are_collected_than_asked_for(
    world: World, most: int, found: int
) -> None:
    bus = world.bus(CreateUser, max_errors=most)
    with pytest.raises(ValidationError) as caught:
        world.dispatch(bus, CreateUser("", -1, 7))  # type: ignore[arg-type]
    assert len(caught.value.errors) == found


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()], ids=repr)
def test_another_exception_of_validate_is_the_callers(
    world: World, error: BaseException
) -> None:
    bus = world.bus(Moody)
    with pytest.raises(type(error)) as caught:
        world.dispatch(bus, Moody(error))
    assert caught.value is error


def test_a_class_in_which_nothing_can_be_wrong_is_left_out() -> None:
    def stages(message: Any) -> list[str]:
        return [info.kind for info in World(False).bus(message).describe()[0].stages]

    assert stages(Ping) == []
    assert stages(Base) == ["ValidationMiddleware"]
    assert stages(CreateUser) == ["ValidationMiddleware"]
    assert stages("Ping") == ["ValidationMiddleware"]


@pytest.mark.parametrize("registered", ["Passing", Base])
def test_a_class_of_the_moment_is_not_kept_alive(
    world: World, registered: str | type
) -> None:
    bus = world.bus(registered)

    def dispatch() -> weakref.ref[type]:
        class Passing(Base):
            age: Age = 0

        assert world.dispatch(bus, Passing(1)) == Passing(1)
        with pytest.raises(ValidationError):
            world.dispatch(bus, Passing(-1))
        return weakref.ref(Passing)

    reference = dispatch()
    # A coroutine and its exception refer to each other: the first pass ends them.
    for _ in range(3):
        gc.collect()
    assert reference() is None


def test_a_subclass_is_not_taken_for_the_class_that_was_checked(world: World) -> None:
    bus = world.bus("Derived")
    bus.register_handler("Stricter", lambda message: message)

    class Stricter(Derived):
        size: Annotated[int, Meta(ge=1)] = 1

    for _ in range(2):
        assert world.dispatch(bus, Derived(1)) == Derived(1)
        with pytest.raises(ValidationError):
            world.dispatch(bus, Stricter(size=0))


def test_what_a_class_keeps_survives_a_copy_of_its_namespace() -> None:
    bus = World(False).bus("Derived")
    bus.execute(Derived(1))
    kept = vars(Derived)["__cqrs_fast_check__"]
    for twin in (pickle.loads(pickle.dumps(kept)), copy.deepcopy(kept)):
        other = type("Derived", (Command,), {"__cqrs_fast_check__": twin})
        assert bus.execute(other()) == other()


@pytest.mark.alone
def test_a_valid_message_costs_no_allocation() -> None:
    bus = World(False).bus(CreateUser)
    bare = CommandBus()
    bare.register_handler(CreateUser, lambda message: message)
    for message in (CreateUser("ann", 30), CreateAdmin("ann", 30)):
        peaks = []
        for one in (bare, bus):
            execute = one.execute
            for _ in range(100):
                execute(message)
            tracemalloc.start()
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(200):
                execute(message)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
            tracemalloc.stop()
        assert peaks[1] <= peaks[0]


def test_one_object_serves_both_kinds_of_bus() -> None:
    stage = ValidationMiddleware()
    commands = CommandBus(middleware=[stage])
    queries = QueryBus(middleware=[stage])
    commands.register_handler(CreateUser, lambda message: None)
    queries.register_handler(Period, lambda message: None)
    with pytest.raises(ValidationError):
        commands.execute(CreateUser(""))
    with pytest.raises(ValidationError):
        queries.execute(Period(2, 1))


def test_settings_are_described_under_the_names_of_the_parameters() -> None:
    (info,) = World(False).bus(CreateUser, max_errors=5).describe()[0].stages
    assert info.settings == {"max_errors": 5}


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (0, ValueError, "max_errors must be from 1 to 2147483647, got 0"),
        (2**31, ValueError, "max_errors must be from 1 .*, got 2147483648"),
        (True, TypeError, "max_errors must be an int, got True"),
        (2.0, TypeError, "max_errors must be an int, got 2.0"),
        (None, TypeError, "max_errors must be an int, got None"),
    ],
)
def test_a_senseless_argument_is_refused_by_name(
    given: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ValidationMiddleware(max_errors=given)
