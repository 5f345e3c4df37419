"""Marks of `handles`: where they are found, and what is told of a lost one."""

from __future__ import annotations

import asyncio
import functools
import types
from abc import abstractmethod
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from support import Add, Ask, Trace

from cqrs_fast import Command, CommandBus, Context, Query, QueryBus, handles


class Create(Command[str]):
    pass


class Update(Command[str]):
    pass


def registered(composite: object) -> dict[str, Any]:
    """Register, and return what each command is answered with."""
    bus = CommandBus()
    names = bus.register(composite)
    assert names == bus.registered_commands()
    answers = {}
    for cls in (Add, Create, Update):
        if cls.command_name() in names:
            answers[cls.__name__] = asyncio.run(bus.execute_async(cls()))
    return answers


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate without functools.wraps."""

    def wrapper(self: Any, cmd: Any) -> Any:
        return function(self, cmd)

    return wrapper


def shown(function: Callable[..., Any]) -> Callable[..., Any]:
    return functools.wraps(function)(plain(function))


class Kept:
    """A decorator that is an object, without functools.wraps."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __get__(self, obj: object, cls: type) -> Callable[..., Any]:
        return functools.partial(self.function, obj)


class Descriptors:
    @staticmethod
    @handles(Add)
    def under_static(cmd):
        return "under_static"

    @handles(Create)
    @staticmethod
    def over_static(cmd):
        return "over_static"

    @classmethod
    @handles(Update)
    def under_class(cls, cmd):
        return f"under_class of {cls.__name__}"


class MoreDescriptors:
    @handles(Add)
    @classmethod
    def over_class(cls, cmd):
        return f"over_class of {cls.__name__}"

    def prefixed(self, prefix, cmd):
        return prefix

    part = handles(Create)(functools.partialmethod(prefixed, "part"))

    @property
    @handles(Update)
    def made(self):
        return lambda cmd: "made"


class Wrapped:
    @shown
    @handles(Add)
    def under(self, cmd):
        return "under"

    @handles(Create)
    @plain
    def over(self, cmd):
        return "over"

    @functools.cached_property
    @handles(Update)
    def cached(self):
        return lambda cmd: "cached"


class Dispatching:
    @handles(Add, Create)
    @functools.singledispatchmethod
    def over(self, cmd):
        return "other"

    @over.register
    def _(self, cmd: Create):
        return "create"

    @functools.singledispatchmethod
    @handles(Update)
    def under(self, cmd):
        return "under"


class Slotted:
    __slots__ = ()

    @handles(Add)
    async def add(self, ctx: Context, cmd: Add) -> str:
        return "slotted"


class Demanding:
    """Has every attribute that it is asked for."""

    def __getattr__(self, name: str) -> Any:
        return Mock()

    @handles(Add)
    def add(self, cmd):
        return "demanding"


@pytest.mark.parametrize(
    ("composite", "answers"),
    [
        (
            Descriptors(),
            {
                "Add": "under_static",
                "Create": "over_static",
                "Update": "under_class of Descriptors",
            },
        ),
        (
            MoreDescriptors(),
            {
                "Add": "over_class of MoreDescriptors",
                "Create": "part",
                "Update": "made",
            },
        ),
        (Wrapped(), {"Add": "under", "Create": "over", "Update": "cached"}),
        (Dispatching(), {"Add": "other", "Create": "create", "Update": "under"}),
        (Slotted(), {"Add": "slotted"}),
        (Demanding(), {"Add": "demanding"}),
    ],
)
def test_a_mark_is_found(composite: object, answers: dict[str, str]) -> None:
    assert registered(composite) == answers


class Base:
    @handles(Add)
    def add(self, cmd):
        return "base"

    @handles(Create)
    @abstractmethod
    def create(self, cmd): ...


class Derived(Base):
    def add(self, ctx, cmd):
        return f"derived from {super().add(cmd)}"

    @staticmethod
    def create(cmd):
        return "derived"


class Again(Derived):
    async def add(self, cmd):
        return "again"

    @handles(Update)
    def create(self, cmd):
        return "update"


class Off(Derived):
    add = None


class Mixin:
    def add(self, cmd):
        return "mixin"


class Mixed(Mixin, Derived):
    pass


@pytest.mark.parametrize(
    ("composite", "answers"),
    [
        (Derived(), {"Add": "derived from base", "Create": "derived"}),
        (Again(), {"Add": "again", "Update": "update"}),
        (Off(), {"Create": "derived"}),
        (Mixed(), {"Add": "mixin", "Create": "derived"}),
    ],
)
def test_an_override_handles_what_the_overridden_method_did(
    composite: object, answers: dict[str, str]
) -> None:
    assert registered(composite) == answers


def test_an_override_that_is_no_handler_is_told() -> None:
    class Wrong(Derived):
        add = 5

    with pytest.raises(TypeError, match="5 is no handler"):
        CommandBus().register(Wrong())


def test_an_attribute_of_the_object_stands_for_its_method() -> None:
    composite = Derived()
    composite.add = lambda cmd: "of the object"
    assert registered(composite)["Add"] == "of the object"


def test_functions_of_an_object_or_a_module_may_be_marked() -> None:
    @handles(Add)
    def add(cmd):
        return "function"

    module = types.ModuleType("handlers")
    module.add, module.other = add, len
    assert registered(module) == {"Add": "function"}
    composite = Off()
    composite.more = add
    composite.others = Base().add
    assert registered(composite) == {"Add": "function", "Create": "derived"}


def hidden(decorator: Callable[..., Any]) -> object:
    class Hidden:
        @decorator
        @handles(Add)
        def add(self, cmd): ...

        @handles(Create)
        def create(self, cmd): ...

    return Hidden()


@pytest.mark.parametrize("decorator", [plain, Kept])
def test_a_decorator_that_hides_a_mark_is_told(decorator: Any) -> None:
    bus = CommandBus()
    with pytest.raises(TypeError, match=r"Hidden\.add hides the @handles.*wraps"):
        bus.register(hidden(decorator))
    assert bus.registered_commands() == []


def test_a_method_may_refer_to_marked_functions_of_others() -> None:
    @handles(Add)
    def elsewhere(cmd): ...

    class Composite:
        @handles(Create)
        def create(self, cmd):
            return elsewhere(cmd)

        def helper(self):
            return elsewhere

    assert registered(Composite()) == {"Create": None}


def test_a_composite_without_a_mark_is_told() -> None:
    class Unmarked:
        def add(self, cmd): ...

    with pytest.raises(TypeError, match=r"no method that is marked with @handles: wri"):
        CommandBus().register(Unmarked())
    with pytest.raises(TypeError, match="is a class, not an instance"):
        CommandBus().register(Base)


def test_a_composite_of_the_other_bus_is_told() -> None:
    class Asking:
        @handles(Ask)
        def ask(self, query): ...

    with pytest.raises(TypeError, match="a command, only Ask: register it on the othe"):
        CommandBus().register(Asking())
    assert QueryBus().register(Asking()) == ["Ask"]


def test_a_command_and_a_query_may_share_a_name() -> None:
    class Count(Command[int]):
        pass

    class CountQuery(Query[int]):
        pass

    class Both:
        @handles(Count)
        def count(self, command): ...

        @handles(CountQuery)
        def counted(self, query): ...

    assert CommandBus().register(Both()) == ["Count"]
    assert QueryBus().register(Both()) == ["Count"]


@pytest.mark.parametrize("replace", [False, True])
def test_two_methods_for_one_message_are_told(replace: bool) -> None:
    class Twice(Base):
        @handles(Add)
        def other(self, cmd): ...

    bus = CommandBus()
    with pytest.raises(TypeError, match=r"Twice\.add and \.other both handle Add"):
        bus.register(Twice(), replace=replace)
    assert bus.registered_commands() == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"midleware": []}, "'midleware'. Did you mean 'middleware'"),
        ({"context": True}, "'context'. Did you mean 'with_context'"),
        ({"zzz": 1}, "'zzz'. It has middleware, is_async, with_context, offload"),
        ({"replace": True}, r"write bus\.register\(obj, replace=True\)"),
    ],
)
def test_an_unknown_option_is_told_where_it_is_written(
    options: dict[str, Any], text: str
) -> None:
    where = r"@handles\(Add\) in .*\.Wrong, line "
    with pytest.raises(TypeError, match=f"{where}.*{text}"):

        class Wrong:
            @handles(Add, **options)
            def add(self, cmd): ...


def test_options_reach_the_handler() -> None:
    log: list[str] = []

    class Composite:
        @handles(Add, middleware=[Trace("A", log)], with_context=False, offload=True)
        def add(self, *args):
            return len(args)

    bus = CommandBus()
    bus.register(Composite())
    assert bus.execute(Add()) == 1
    assert log == ["A>", "<A"]


@pytest.mark.parametrize("method", [property(len), [].append, 5])
def test_what_cannot_be_marked_is_told(method: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot mark a .*: put it on the func"):
        handles(Add)(method)


def test_a_class_cannot_be_marked() -> None:
    with pytest.raises(
        TypeError, match=r"@handles\(Add\) marks methods, and .* a class"
    ):
        handles(Add)(Base)


def in_a_class_body(bus: CommandBus, decorator: Any) -> None:
    class Handlers:
        @decorator
        def create(self, cmd: Create) -> str: ...


def test_a_method_under_bus_handler_is_told_in_the_body_of_its_class() -> None:
    bus = CommandBus()
    text = r"Handlers\.create is a method without its object: .*@handles.*bus\.register"
    for decorator in (bus.handler, bus.handler(Create), bus.handler(with_context=True)):
        with pytest.raises(TypeError, match=text):
            in_a_class_body(bus, decorator)
    with pytest.raises(TypeError, match=text):

        class Handlers:
            @bus.handler
            @classmethod
            def create(cls, cmd: Create) -> str: ...

    with pytest.raises(TypeError, match="method without its object"):
        bus.register_handler(Create, Base.create)
    assert bus.registered_commands() == []


def test_functions_that_are_no_methods_keep_their_first_parameter() -> None:
    bus = CommandBus()

    class Handlers:
        @staticmethod
        @bus.handler
        def create(cmd: Create) -> str:
            return "static"

        @bus.handler
        @staticmethod
        def update(session: Any, cmd: Update) -> str:
            return type(session).__name__

    @bus.handler
    def add(self: Any, cmd: Add) -> Any:
        return type(self).__name__

    assert bus.execute(Create()) == "static"
    assert bus.execute(Update()) == "Context"
    assert bus.execute(Add()) == "Context"
    assert bus.execute(Add()) == add(Context.background(), Add())
    assert Handlers.create(Create()) == "static"
