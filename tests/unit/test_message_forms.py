"""Messages that are named by more than a class: generic, local, in quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Generic, NewType, TypeVar

import pydantic
import pytest
from msgspec import Meta, Struct
from typing_extensions import TypeAliasType

from cqrs_fast import (
    Command,
    CommandBus,
    HandlerAlreadyRegisteredError,
    HandlerNotFoundError,
    Query,
    QueryBus,
    ValidationError,
    ValidationMiddleware,
    handles,
    message_name,
)
from cqrs_fast.base.message_names import class_meant, message_kind, message_meant

if TYPE_CHECKING:
    from nowhere import Unimported

T = TypeVar("T")
Positive = Annotated[int, Meta(gt=0)]


class Page(Struct, Generic[T]):
    items: list[T]


class GetPage(Query[Page[T]], Generic[T]):
    first: T
    size: int = 10


class ModelQuery(pydantic.BaseModel, Generic[T]):
    x: T


Alias = TypeAliasType("Alias", Annotated[GetPage[T], "said"], type_params=(T,))
Named = NewType("Named", GetPage)
Union = TypeAliasType("Union", "int | str")
Itself: Any = TypeAliasType("Itself", "Itself")
Late = TypeAliasType("Late", GetPage | None)


def validating() -> QueryBus:
    return QueryBus(middleware=[ValidationMiddleware()])


def first(query: GetPage[Positive]) -> Any:
    return query.first


class Composite:
    @handles(GetPage[Positive])
    def first(self, query: Any) -> Any:
        return query.first


WAYS = {
    "class": lambda bus: bus.register_handler(GetPage[Positive], first),
    "alias": lambda bus: bus.register_handler(Alias[Positive], first),
    "bare": lambda bus: bus.handler(first),
    "given": lambda bus: bus.handler(GetPage[Positive])(first),
    "handles": lambda bus: bus.register(Composite()),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_generic_message_is_checked_by_its_arguments(way: str) -> None:
    bus = validating()
    WAYS[way](bus)
    assert bus.registered_queries() == ["GetPage"]
    assert bus.execute(GetPage(1)) == bus.execute(GetPage[str](1)) == 1
    assert bus.execute_json(b'{"$type": "GetPage", "first": 1}') == b"1"
    for wrong in (0, "x"):
        with pytest.raises(ValidationError):
            bus.execute(GetPage(wrong))
    with pytest.raises(ValidationError):
        bus.execute_json(b'{"$type": "GetPage", "first": "x"}')
    bus.add_middleware(lambda ctx, message, next: next(ctx, message))
    with pytest.raises(ValidationError):
        bus.execute(GetPage(0))


def test_a_generic_message_without_arguments_takes_all() -> None:
    bus = validating()
    bus.register_handler(GetPage, first)
    assert bus.execute(GetPage("x")) == "x"
    with pytest.raises(ValidationError):
        bus.execute(GetPage("x", size="y"))


def test_one_name_has_one_handler_whatever_its_arguments() -> None:
    bus = QueryBus()
    bus.register_handler(GetPage[int], first)
    with pytest.raises(HandlerAlreadyRegisteredError):
        bus.register_handler(GetPage[str], first)
    assert bus.bind(GetPage[int])(GetPage(1)) == 1
    assert bus.explain(GetPage[int]) == bus.explain(GetPage)
    bus.unregister_handler(GetPage[str])
    assert bus.registered_queries() == []
    with pytest.raises(TypeError, match="register it on a query bus"):
        CommandBus().register_handler(GetPage[int], first)


@pytest.mark.parametrize("wrong", [int | str, Union, Itself, Late, 5, T, [GetPage]])
def test_what_names_no_class_is_refused(wrong: Any) -> None:
    bus = QueryBus()
    assert message_meant(wrong) is None
    for refuse in (
        lambda: bus.register_handler(wrong, first),
        lambda: bus.unregister_handler(wrong),
        lambda: bus.explain(wrong),
        lambda: bus.bind(wrong),
        lambda: handles(wrong),
    ):
        with pytest.raises(TypeError, match="message class"):
            refuse()
    with pytest.raises(TypeError, match="a handler is a callable"):
        bus.handler(wrong)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (GetPage, GetPage),
        (GetPage[int], GetPage[int]),
        (Alias[int], GetPage[int]),
        (Alias, GetPage[T]),
        (Named, GetPage),
        (Annotated[Named, 1], GetPage),
        (NewType("Twice", Named), GetPage),
    ],
)
def test_a_name_means_its_class(given: Any, meant: Any) -> None:
    assert message_meant(given) == meant
    assert class_meant(given) is GetPage


def test_pydantic_models_are_messages_also_generic_ones() -> None:
    bus = QueryBus()

    @bus.handler
    def numbers(query: ModelQuery[int]) -> int:
        return query.x + 1

    assert message_name(ModelQuery[int]) == "Model[int]"
    assert message_kind(ModelQuery[int]) == "query"
    assert bus.registered_queries() == ["Model[int]"]
    assert bus.execute(ModelQuery[int](x=1)) == 2
    with pytest.raises(HandlerNotFoundError):
        bus.execute(ModelQuery[str](x="x"))
    bus.register_handler(ModelQuery, lambda query: "any")
    assert bus.execute(ModelQuery[str](x="x")) == "any"


def test_a_class_inside_of_a_running_function_is_found() -> None:
    bus = CommandBus()

    class Local(Command[str]):
        pass

    @bus.handler
    def handle(command: Local) -> str:
        return "local"

    assert bus.execute(Local()) == "local"

    def inside() -> None:
        @bus.handler(replace=True)
        def handle(command: Local) -> str:
            return "inside"

    inside()
    assert bus.execute(Local()) == "inside"

    class Handlers:
        def handle(self, command: Local) -> str:
            return "handled"

    bus.handler(Handlers(), replace=True)
    assert bus.execute(Local()) == "handled"


def made(closed: bool) -> Any:
    class Local(Command[str]):
        pass

    def handle(command: Local) -> Any:
        return Local if closed else type(command)

    def open_handle(command: Local) -> type:
        return type(command)

    return handle if closed else open_handle


def test_a_class_that_the_handler_closes_over_is_found() -> None:
    bus = CommandBus()
    handler = made(closed=True)
    bus.handler(handler)
    cls = handler(None)
    assert bus.execute(cls()) is cls


def test_a_class_of_a_function_that_has_ended_is_told() -> None:
    text = r"'Local' cannot be resolved \(name 'Local' is not defined\): a function tha"
    with pytest.raises(TypeError, match=text) as caught:
        CommandBus().handler(made(closed=False))
    assert isinstance(caught.value.__cause__, NameError)


def test_an_annotation_for_type_checkers_is_told() -> None:
    with pytest.raises(TypeError, match="must be known at run time; name the message"):
        CommandBus().handler(unimported)


def unimported(command: Unimported) -> None: ...


def quoted(command: "ModelQuery[int]") -> int:  # noqa: UP037 - quotes in quotes
    return command.x


def test_quotes_in_a_postponed_annotation_are_read() -> None:
    bus = QueryBus()
    bus.handler(quoted)
    assert bus.registered_queries() == ["Model[int]"]


def test_a_class_under_bus_handler_is_a_message_or_refused() -> None:
    bus = CommandBus()

    class Handler:
        def handle(self, command: Any) -> None: ...

    class Callee:
        def __call__(self, command: Any) -> None: ...

    for cls in (Handler, Callee):
        with pytest.raises(TypeError, match=r"takes functions: write bus\.register_ha"):
            bus.handler(cls)

    class CallableCommand(Command[str]):
        def __call__(self) -> str:
            return "called"

    @bus.handler(CallableCommand)
    def call(command: Any) -> str:
        return command()

    assert bus.execute(CallableCommand()) == "called"
