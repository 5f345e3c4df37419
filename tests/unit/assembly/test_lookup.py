"""Which handler takes a message: its class, its name, its base classes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import attrs
import pydantic
import pytest
from support import Add, Ask, Trace, drive, run_script

from cqrs_fast import (
    Command,
    CommandBus,
    Context,
    HandlerAlreadyRegisteredError,
    HandlerNotFoundError,
    Middleware,
    Query,
    QueryBus,
    handles,
)

T = TypeVar("T")


class Base(Command[str]):
    pass


class Derived(Base):
    pass


class MostDerived(Derived):
    pass


class Page(Query[T], Generic[T]):
    pass


@dataclass(frozen=True)
class ShipCommand:
    number: int = 0


@attrs.frozen
class BillCommand:
    number: int = 0


class PayCommand(pydantic.BaseModel):
    number: int = 0


class Plain:
    """Of no kind: either bus takes it."""


class Told:
    """Only an instance can tell its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def command_name(self) -> str:
        return self.name


class OnClass:
    @classmethod
    def command_name(cls) -> str:
        return "Classy"


def answering(bus: Any, *messages: Any) -> Any:
    """Register for each a handler that answers its name."""
    for message in messages:
        label = message if isinstance(message, str) else message.__name__
        bus.register_handler(message, lambda m, label=label: label)
    return bus


def test_exact_class_then_name_then_base_classes() -> None:
    assert answering(CommandBus(), Base, Derived).execute(Derived()) == "Derived"
    assert answering(CommandBus(), Base, "Derived").execute(Derived()) == "Derived"
    assert answering(CommandBus(), Base).execute(MostDerived()) == "Base"
    bus = answering(CommandBus(), Base, Derived)
    assert bus.execute(MostDerived()) == "Derived"
    bus.unregister_handler(Derived)
    assert bus.execute(MostDerived()) == "Base"
    bus.register_handler("MostDerived", lambda m: "by name")
    assert bus.execute(MostDerived()) == "by name"


def test_a_handler_of_the_base_takes_all() -> None:
    bus = answering(CommandBus(), Command)
    assert bus.execute(Derived()) == bus.execute(Add()) == "Command"


def test_a_generic_message() -> None:
    bus = answering(QueryBus(), Page)
    assert bus.execute(Page()) == bus.execute(Page[int]()) == "Page"


@pytest.mark.parametrize("message", [ShipCommand, BillCommand, PayCommand])
def test_classes_of_other_libraries(message: type) -> None:
    name = message.__name__.removesuffix("Command")
    assert answering(CommandBus(), message).execute(message()) == message.__name__
    assert answering(CommandBus(), name).execute(message()) == name
    with pytest.raises(TypeError, match="command"):
        answering(QueryBus(), message)


def test_a_class_of_no_kind_goes_to_either_bus() -> None:
    for bus in (CommandBus(), QueryBus()):
        assert answering(bus, Plain).execute(Plain()) == "Plain"


def test_a_route_by_name_takes_no_other_kind() -> None:
    bus = answering(CommandBus(), "Ask")
    with pytest.raises(HandlerNotFoundError):
        bus.execute(Ask())


def test_names_that_only_an_instance_can_tell() -> None:
    bus = answering(CommandBus(), "A", "B")
    assert [bus.execute(Told(name)) for name in "ABA"] == ["A", "B", "A"]
    with pytest.raises(HandlerNotFoundError) as caught:
        bus.execute(Told("C"))
    assert caught.value.name == "C"
    bus.register_handler(Told, lambda m: "class")
    assert bus.execute(Told("A")) == "class"


def test_bind_asks_instances_for_their_names() -> None:
    bus = answering(CommandBus(), "A", "B")
    bound = bus.bind(Told)
    assert [bound(Told(name)) for name in "ABA"] == ["A", "B", "A"]


def test_hooks_see_the_messages_own_name() -> None:
    names: list[str] = []

    class See(Middleware):
        def before(self, call: Any) -> None:
            names.append(call.name)

    bus = CommandBus(middleware=[See()])
    answering(bus, Told, Base, "Classy")
    for message in (Told("A"), Base(), MostDerived(), OnClass()):
        bus.execute(message)
    assert names == ["A", "Base", "MostDerived", "Classy"]


def test_statistics_go_by_the_registered_name() -> None:
    bus = answering(CommandBus(enable_metrics=True), Base)
    bus.execute(MostDerived())
    assert bus.stats().messages["Base"].count == 1


@pytest.mark.parametrize("bad", ["", 3, None])
def test_a_name_that_is_no_name(bad: Any) -> None:
    bus = answering(CommandBus(), Base)
    with pytest.raises(TypeError, match="command_name"):
        bus.execute(Told(bad))


def test_errors_of_a_name_method_reach_the_caller() -> None:
    class Broken:
        def command_name(self) -> str:
            raise ZeroDivisionError

    bus = answering(CommandBus(), Base)
    with pytest.raises(ZeroDivisionError):
        bus.execute(Broken())
    with pytest.raises(ZeroDivisionError):
        drive(bus.execute_async(Broken()))


def test_showing_a_dispatch_runs_no_user_code() -> None:
    run_script("""
import asyncio
from cqrs_fast import CommandBus
class Broken:
    def command_name(self):
        raise ZeroDivisionError
async def main():
    task = asyncio.ensure_future(CommandBus().execute_async(Broken()))
    assert "Broken" in repr(task), repr(task)
    try:
        await task
    except ZeroDivisionError:
        return "raised"
assert asyncio.run(main(), debug=True) == asyncio.run(main()) == "raised"
""")


# Decorators and composites


def test_the_decorator_reads_the_annotation() -> None:
    bus, queries = CommandBus(), QueryBus()

    @bus.handler
    def add(ctx: Context, cmd: Add) -> int:
        return cmd.number

    @queries.handler(Ask, middleware=[Trace("A", [])])
    async def ask(query: Any) -> int:
        return query.number

    @bus.handler("Told")
    def told(m: Any) -> str:
        return "told"

    assert bus.execute(Add(3)) == add(Context.background(), Add(3)) == 3
    assert asyncio.run(queries.execute_async(Ask(4))) == 4
    assert bus.execute(Told("Told")) == "told"
    with pytest.raises(TypeError, match=r"@bus\.handler\("):

        @bus.handler
        def untold(cmd):
            return None

    with pytest.raises(HandlerAlreadyRegisteredError):
        bus.handler(add)


class Composite:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    @handles(Add)
    def add(self, ctx: Context, cmd: Add) -> int:
        self.seen.append(cmd)
        return cmd.number

    @handles(Base, ShipCommand)
    def both(self, cmd: Any) -> str:
        return type(cmd).__name__

    @handles(Ask, middleware=[Trace("A", [])])
    async def ask(self, query: Ask) -> int:
        return len(self.seen)

    def not_a_handler(self) -> None: ...


def test_each_bus_takes_its_own_methods_of_a_composite() -> None:
    commands, queries, composite = CommandBus(), QueryBus(), Composite()
    commands.register(composite)
    queries.register(composite)
    assert commands.registered_commands() == ["Add", "Base", "Ship"]
    assert queries.registered_queries() == ["Ask"]
    assert commands.execute(Add(2)) == 2
    assert commands.execute(ShipCommand()) == "ShipCommand"
    assert asyncio.run(queries.execute_async(Ask())) == 1


def test_a_composite_is_registered_whole_or_not_at_all() -> None:
    bus = answering(CommandBus(), "Ship")
    with pytest.raises(HandlerAlreadyRegisteredError):
        bus.register(Composite())
    assert bus.registered_commands() == ["Ship"]
    bus.register(Composite(), replace=True)
    assert bus.execute(ShipCommand()) == "ShipCommand"


@pytest.mark.parametrize("wrong", [Composite, object(), 3])
def test_what_is_no_composite(wrong: Any) -> None:
    with pytest.raises(TypeError):
        CommandBus().register(wrong)


@pytest.mark.parametrize("wrong", [Plain, "Add", Add(1), None])
def test_handles_takes_classes_of_a_known_kind(wrong: Any) -> None:
    with pytest.raises(TypeError):
        handles(wrong)


def test_a_subclass_overrides_a_method_of_a_composite() -> None:
    class Quiet(Composite):
        @handles(Add)
        def add(self, cmd: Add) -> int:
            return -1

    bus = CommandBus()
    bus.register(Quiet())
    assert bus.execute(Add(2)) == -1
