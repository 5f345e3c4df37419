"""Messages named by more than a class, and handlers that choose: on a whole bus."""

from __future__ import annotations

import functools
from typing import Annotated, Any, ClassVar, Generic, NewType, TypeVar

import pydantic
import pytest
from both_ways import Way, both_ways
from msgspec import Meta
from typing_extensions import TypeAliasType

from cqrs_fast import (
    CachingMiddleware,
    Command,
    CommandBus,
    HandlerNotFoundError,
    Query,
    QueryBus,
    ValidationError,
    ValidationMiddleware,
    handles,
)

T = TypeVar("T")


class GetPage(Query[list[T]], Generic[T]):
    first: T


class Model(pydantic.BaseModel, Generic[T]):
    first: T

    def query_name(self) -> str:
        return "Model"


IntPages = TypeAliasType("IntPages", GetPage[int])
Named = NewType("Named", GetPage)
Said = Annotated[GetPage[int], Meta(description="a page of ints")]


class Grow(Command[int]):
    invalidates: ClassVar[tuple[Any, ...]] = (GetPage,)


FORMS = {
    "generic": GetPage[int],
    "alias": IntPages,
    "NewType": Named,
    "Annotated": Said,
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def first(query: Any) -> list[Any]:
    return [query.first]


@both_ways
@each_form
def test_a_form_is_dispatched_cached_and_overridden(way: Way, form: Any) -> None:
    bus = way.bus(QueryBus, form, first, middleware=[CachingMiddleware()])
    assert bus.registered_queries() == ["GetPage"]
    one = way(bus, GetPage(1))
    assert way(bus, GetPage(1)) is one
    bus.cache.invalidate_type(GetPage)
    assert way(bus, GetPage(1)) is not one
    with bus.override(form, way.handler(lambda query: "stub")):
        assert way(bus, GetPage(2)) == "stub"
    bus.unregister_handler(form)
    assert isinstance(way.error(bus, GetPage(1)), HandlerNotFoundError)


@both_ways
@each_form
def test_a_form_is_forgotten_by_the_command_that_names_its_class(
    way: Way, form: Any
) -> None:
    asked = way.bus(QueryBus, form, first, middleware=[CachingMiddleware()])
    told = way.bus(CommandBus, Grow, lambda command: 1)
    one = way(asked, GetPage(1))
    way(told, Grow())
    assert way(asked, GetPage(1)) is not one


@both_ways
def test_arguments_are_checked_where_the_form_has_them(way: Way) -> None:
    bus = way.bus(QueryBus, GetPage[int], first, middleware=[ValidationMiddleware()])
    assert way(bus, GetPage(1)) == [1]
    assert isinstance(way.error(bus, GetPage("one")), ValidationError)


@both_ways
@pytest.mark.parametrize("form", [Model, Model[int]], ids=["open", "of int"])
def test_generic_models_of_pydantic_are_messages(way: Way, form: Any) -> None:
    bus = way.bus(QueryBus, form, first)
    assert way(bus, form(first=1)) == [1]


@both_ways
def test_a_local_class_under_postponed_annotations_is_found(way: Way) -> None:
    class Local(Query[int]):
        number: int = 5

    bus = QueryBus()
    if way.is_async:

        @bus.handler
        async def get_async(query: Local) -> int:
            return query.number

    else:

        @bus.handler
        def get(query: Local) -> int:
            return query.number

    assert way(bus, Local()) == 5


class Shape(Query[str]):
    pass


class Circle(Shape, tag="Circle"):
    pass


class Square(Shape, tag="Square"):
    pass


class Shapes:
    @functools.singledispatchmethod
    def draw(self, shape: Any) -> str:
        return "a shape"

    @draw.register
    def _(self, shape: Circle) -> str:
        return "a circle"

    @handles(Square)
    @functools.singledispatchmethod
    def marked(self, shape: Any) -> str:
        return "some square"

    @marked.register
    def _(self, shape: Square) -> str:
        return "a square"


@both_ways
def test_a_method_that_dispatches_by_class_is_a_handler(way: Way) -> None:
    bus = QueryBus()
    shapes = Shapes()
    bus.register_handler(Circle, shapes.draw)
    bus.register_handler(Shape, shapes.draw)
    assert bus.register(shapes) == ["Square"]
    assert way(bus, Circle()) == "a circle"
    assert way(bus, Shape()) == "a shape"
    assert way(bus, Square()) == "a square"


# The bare form has only annotations to go by


class CreateUser(Command[int]):
    pass


def test_a_result_that_is_not_that_of_the_message_is_refused() -> None:
    """Type checkers see the forms that name the class; this one only we can check."""
    bus = CommandBus()

    def create(command: CreateUser) -> str:
        return "one"

    with pytest.raises(TypeError, match="CreateUser") as caught:
        bus.handler(create)
    for word in ("create", "int", "str"):
        assert word in str(caught.value)
    assert bus.registered_commands() == []

    async def create_async(command: CreateUser) -> str:
        return "one"

    with pytest.raises(TypeError, match="CreateUser"):
        bus.handler(create_async)


def as_it_is(command: CreateUser) -> int:
    return 1


def narrower(command: CreateUser) -> bool:
    return True


def anything(command: CreateUser) -> Any:
    return 1


def unannotated(command: CreateUser):
    return 1


def never(command: CreateUser) -> Missing:  # type: ignore[name-defined]  # noqa: F821
    return 1


@pytest.mark.parametrize("handler", [as_it_is, narrower, anything, unannotated, never])
def test_what_fits_or_cannot_be_known_is_accepted(handler: Any) -> None:
    bus = CommandBus()
    bus.handler(handler)
    assert bus.execute(CreateUser()) == 1
