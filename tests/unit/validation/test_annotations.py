"""What validation makes of each kind of annotation: checked to the end, or refused."""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import gc
import pathlib
import re
import sys
import types
import typing
import weakref
from collections.abc import Callable, Iterable
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    ParamSpec,
    Protocol,
    Self,
    TypedDict,
    TypeVar,
    TypeVarTuple,
    Union,
    runtime_checkable,
)

import msgspec
import pytest
import typing_extensions
from msgspec import UNSET, Meta, Struct, UnsetType, defstruct
from typing_extensions import ReadOnly, TypeAliasType

from cqrs_fast import Command, CommandBus, ValidationError, ValidationMiddleware
from cqrs_fast.validation.constraints import compile_check

T = TypeVar("T")
P = ParamSpec("P")
Ts = TypeVarTuple("Ts")
Small = TypeVar("Small", bound=int)
Either = TypeVar("Either", int, str)

Positive = Annotated[int, Meta(gt=0)]
Nested = list["Union[Positive, Nested]"]  # noqa: UP007 - as many wrote it
Json = dict[str, "Json"] | list["Json"] | str | None
Left = list["Right"]
Right = dict[str, "Left"] | Positive
Tree = TypeAliasType("Tree", "list[Tree] | Positive")
TreeOf = TypeAliasType("TreeOf", "list[TreeOf[T]] | T", type_params=(T,))
Even = TypeAliasType("Even", "dict[str, Odd] | Positive")
Odd = TypeAliasType("Odd", "list[Even]")
ListOf = TypeAliasType("ListOf", list[T], type_params=(T,))
Maybe = TypeAliasType("Maybe", "Positive | UnsetType")
Itself = TypeAliasType("Itself", "Itself")
NoContainer = TypeAliasType("NoContainer", "int | NoContainer")
Endless = TypeAliasType("Endless", "list[Endless[list[T]]] | T", type_params=(T,))
Nowhere = TypeAliasType("Nowhere", "list[Lost]")  # noqa: F821 - it is lost
Wrapped = NewType("Wrapped", "Tree")


class Selfish(Struct):
    kids: list[Self] = []
    value: Positive = 1


@dataclasses.dataclass
class Branch:
    kids: list[Branch]
    value: Positive


class Keys(TypedDict):
    kids: NotRequired[list[Keys]]
    value: ReadOnly[Positive]


class Row(NamedTuple):
    kids: tuple[Row, ...]
    value: Positive


class Generation(Struct, Generic[T]):
    kids: list[Generation[T]]
    value: T


class Widening(Struct, Generic[T]):
    kids: Widening[list[T]] | None
    value: T


class Pack(Struct, Generic[T, *Ts, Small]):
    first: T
    rest: Any
    last: Small


class Box(Generic[T]):
    pass


class Numbers(list[int]):
    pass


class Plain(Protocol):
    x: int


@runtime_checkable
class Askable(Protocol):
    x: int


class Unaskable(type):
    def __instancecheck__(cls, instance: object) -> bool:
        raise TypeError("Ask me not")


class Silent(metaclass=Unaskable):
    pass


def errors_in(annotation: Any, value: Any) -> list[tuple[str, str]]:
    cls = defstruct("Message", [("f", annotation)], module=__name__)
    check = compile_check(cls)
    if check is None:
        return []
    return [(path, code) for path, code, _ in check.errors_of(cls(value))]


ANY = object()

# annotation, values that are right, values that are wrong with the place and the code
CHECKED: list[tuple[Any, list[Any], list[tuple[Any, str, str]]]] = [
    # What holds itself
    (Nested, [[1], [[1, [2]]]], [([-1], "[0]", "gt"), ([[-1]], "[0][0]", "gt"),
                                 ([[object()]], "[0][0]", "type")]),
    ("Nested", [[[[1]]]], [([[[-1]]], "[0][0][0]", "gt")]),
    (Json, [{"a": [{"b": [None]}]}], [({"a": [{"b": 1}]}, "[...][0][...]", "type")]),
    (Left, [[{"a": [1]}]], [([{"a": [-1]}], "[0][...][0]", "gt")]),
    (Tree, [1, [1, [2]]], [([[[-1]]], "[0][0][0]", "gt"), ([["x"]], "[0][0]", "type")]),
    (list["Tree"], [[1, [2]]], [([[-1]], "[0][0]", "gt")]),
    (TreeOf[str], ["x", [["x"]]], [([[1]], "[0][0]", "type")]),
    (TreeOf[Positive], [[[1]]], [([[-1]], "[0][0]", "gt")]),
    (TreeOf, [1, [object()]], []),
    (Even, [{"a": [1]}], [({"a": [{"b": [-1]}]}, "[...][0][...][0]", "gt")]),
    (Odd, [[1, {"b": []}]], [([0], "[0]", "gt")]),
    (Annotated[Tree, Meta(max_length=1)], [[[1, 2]]], [([1, 2], "", "max_length")]),
    (Tree | None, [None, [1]], [([[None]], "[0][0]", "type")]),
    (Wrapped, [[1]], [([[-1]], "[0][0]", "gt")]),
    (Selfish, [Selfish([Selfish()])],
     [(Selfish([Selfish([], -1)]), ".kids[0].value", "gt")]),
    (Branch, [Branch([], 1)], [(Branch([Branch([], -1)], 1), ".kids[0].value", "gt")]),
    (Keys, [{"value": 1}],
     [({"value": 1, "kids": [{"value": -1}]}, ".kids[0].value", "gt")]),
    (Row, [Row((), 1)], [(Row((Row((), -1),), 1), "[0][0][1]", "gt")]),
    (Generation[Positive], [Generation([], 1)],
     [(Generation([Generation([], -1)], 1), ".kids[0].value", "gt")]),
    (Generation, [Generation([], -1)],
     [(Generation([3], -1), ".kids[0]", "type")]),
    # Names of other annotations
    (ListOf[int], [[1]], [(["x"], "[0]", "type")]),
    (ListOf[Annotated[str, Meta(extra={"secret": True})]], [["x"]],
     [([1], "[0]", "type")]),
    (Annotated[ListOf[int] | None, Meta(max_length=1)], [None, [1]],
     [([1, 2], "", "max_length")]),
    (Maybe, [1, UNSET], [(-1, "", "gt")]),
    (list[Maybe], [[1, UNSET]], [([-1], "[0]", "gt")]),
    (list[int | UnsetType], [[1, UNSET]], [(["x"], "[0]", "type")]),
    (typing.ForwardRef("int"), [1], [("x", "", "type")]),
    (NewType("Id", Positive), [1], [(0, "", "gt")]),
    (Annotated[Annotated[int, Meta(gt=0)], Meta(lt=5)], [1], [(5, "", "lt")]),
    (typing_extensions.Annotated[int, Meta(gt=0)], [1], [(0, "", "gt")]),
    # Variables
    (T, [object()], []),
    (Small, [1], [("x", "", "type")]),
    (Either, [1, "x"], [(1.5, "", "type")]),
    (list[T], [[object()]], [(1, "", "type")]),
    (Pack[int, str, bytes, bool], [Pack(1, (), True)],
     [(Pack("x", (), True), ".first", "type"), (Pack(1, (), 5), ".last", "type")]),
    # Containers
    (collections.deque[int], [collections.deque([1])],
     [(collections.deque(["x"]), "[0]", "type"), ([1], "", "type")]),
    (collections.defaultdict[str, int], [collections.defaultdict(int, a=1)],
     [(collections.defaultdict(int, a="x"), "[...]", "type")]),
    (collections.OrderedDict[str, int], [collections.OrderedDict(a=1)],
     [(collections.OrderedDict(a="x"), "[...]", "type"), ({}, "", "type")]),
    (collections.Counter[str], [collections.Counter("aa")],
     [(collections.Counter([1]), "key", "type"),
      (collections.Counter(a=1.5), "[...]", "type")]),
    (collections.ChainMap[str, int], [collections.ChainMap({"a": 1})],
     [(collections.ChainMap({"a": "x"}), "[...]", "type")]),
    (types.MappingProxyType[str, int], [types.MappingProxyType({"a": 1})],
     [(types.MappingProxyType({"a": "x"}), "[...]", "type")]),
    (tuple[int, Any], [(1, object())], [(("x", 1), "[0]", "type")]),
    (tuple, [(1, "x")], [([1], "", "type")]),
    # Classes: isinstance, no more
    (Callable, [len], [(1, "", "type")]),
    (Callable[..., Any], [len], [(1, "", "type")]),
    (type, [int], [(1, "", "type")]),
    (type[Any], [int], [(1, "", "type")]),
    (Iterable, [[1]], [(1, "", "type")]),
    (Iterable[Any], [iter([1])], [(1, "", "type")]),
    (re.Pattern, [re.compile("x")], [("x", "", "type")]),
    (re.Pattern[Any], [re.compile("x")], [("x", "", "type")]),
    (Box, [Box()], [(1, "", "type")]),
    (Box[Any], [Box()], [(1, "", "type")]),
    (Box[T], [Box()], [(1, "", "type")]),
    (Numbers, [Numbers(["x"])], [([1], "", "type")]),
    (Askable, [types.SimpleNamespace(x=1)], [(1, "", "type")]),
    (collections.abc.Hashable, [1], [([], "", "type")]),
    (collections.abc.Sized, [[]], [(1, "", "type")]),
    (pathlib.Path, [pathlib.Path()], [("x", "", "type")]),
    (memoryview, [memoryview(b"")], [(b"", "", "type")]),
    (msgspec.Raw, [msgspec.Raw(b"1")], [(b"1", "", "type")]),
    (typing.LiteralString, ["x"], [(1, "", "type")]),
    (typing_extensions.Literal["a"], ["a"], [("b", "", "invalid")]),
    (None, [None], [(1, "", "type")]),
]  # fmt: skip

ARGUMENTS = "it sees the class, not the arguments; write Any for each argument, or for"
NO_CLASS = "it is not a class; write Any to accept any value"
VERSIONS = "each version of it needs another one"
# annotation, what the text says of it
REFUSED: list[tuple[Any, str]] = [
    (Callable[[int], str], ARGUMENTS),
    (Callable[[], int] | None, ARGUMENTS),
    (type[int], ARGUMENTS),
    (Iterable[int], ARGUMENTS),
    (collections.abc.Iterator[int], ARGUMENTS),
    (collections.abc.Generator[int, None, None], ARGUMENTS),
    (collections.abc.Awaitable[int], ARGUMENTS),
    (collections.abc.Container[int], ARGUMENTS),
    (collections.abc.KeysView[str], ARGUMENTS),
    (re.Pattern[str], ARGUMENTS),
    (weakref.ref[int], ARGUMENTS),
    (Box[int], ARGUMENTS),
    (list[Box[int]], ARGUMENTS),
    (Plain, "Plain: instance and class checks can only be used with @runtime_check"),
    (list[Plain], "Plain: instance and class checks"),
    (NewType("Named", Plain), "Plain: instance and class checks"),
    (Silent, "Silent: ask me not; write Any to accept any value"),
    (P, NO_CLASS),
    (typing.Never, NO_CLASS),
    (typing.TypeGuard[int], NO_CLASS),
    (5, NO_CLASS),
    (typing.Final, NO_CLASS),
    (typing.TextIO, "no file is an instance of it"),
    (tuple[*Ts], "its length is open"),
    (tuple[int, *tuple[str, ...]], "its length is open"),
    (Itself, "Itself: it refers to itself"),
    (NoContainer, "NoContainer: it refers to itself"),
    (Endless[int], f"Endless: {VERSIONS}"),
    (Widening[int], f"Widening: {VERSIONS}"),
    (Nowhere, "cannot resolve the annotation 'list[Lost]' (name 'Lost' is not "
              f"defined): it must be known in {__name__} at run time, or write Any"),
    (list["Lost"], "cannot resolve the annotation"),  # noqa: F821
    (Annotated[Tree, Meta(pattern="x")], "the constraint 'pattern' has no meaning for"),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "right", "wrong"), CHECKED)
def test_values_are_checked_to_the_end(
    annotation: Any, right: list[Any], wrong: list[tuple[Any, str, str]]
) -> None:
    for value in right:
        assert errors_in(annotation, value) == []
    for value, place, code in wrong:
        path = f"key in $.f{place[3:]}" if place.startswith("key") else f"$.f{place}"
        assert errors_in(annotation, value) == [(path, code)]


@pytest.mark.parametrize(("annotation", "text"), REFUSED)
def test_what_cannot_be_checked_is_refused_at_registration(
    annotation: Any, text: str
) -> None:
    body = {"__annotations__": {"f": annotation}, "__module__": __name__}
    cls = type(Command)("Message", (Command,), body)
    bus = CommandBus(middleware=[ValidationMiddleware()])
    with pytest.raises(TypeError) as caught:
        bus.register_handler(cls, lambda message: None)
    assert text in str(caught.value)
    assert re.match(r"(Message\.f|Widening\.kids): ", str(caught.value))
    assert bus.registered_commands() == []
    CommandBus().register_handler(cls, lambda message: None)


class Put(Command[None]):
    tree: Nested


@pytest.mark.parametrize("tree", [[-1], [[-1]], [[object()]]])
def test_a_recursive_field_is_checked_in_a_dispatch(tree: Any) -> None:
    bus = CommandBus(middleware=[ValidationMiddleware()])
    bus.register_handler(Put, lambda command: None)
    bus.execute(Put([[1], 2]))
    with pytest.raises(ValidationError):
        bus.execute(Put(tree))


def test_an_endless_value_of_a_recursive_alias_ends_with_an_error() -> None:
    endless: list[Any] = []
    endless.append(endless)
    ((path, code),) = errors_in(Tree, endless)
    assert code == "invalid"
    assert path == "$.f" + "[0]" * 63


def test_a_name_inside_of_a_function_is_told_as_the_reason() -> None:
    class Inner(Struct):
        x: int

    class Local(Command[None]):
        inner: list[Inner]
        again: Local | None = None

    with pytest.raises(TypeError, match=r"cannot see the names inside a function.*Any"):
        compile_check(Local)


def test_a_local_class_may_name_itself() -> None:
    class Local(Struct):
        again: Local | None = None
        value: int = 0

    check = compile_check(Local)
    assert check is not None
    assert check.errors_of(Local(Local(value="x")))[0][0] == "$.again.value"


def test_the_check_of_a_recursive_alias_is_collected() -> None:
    cls = defstruct("Message", [("f", Tree)], module=__name__)
    check = compile_check(cls)
    assert check is not None
    gone = weakref.ref(cls)
    del cls, check
    gc.collect()
    assert gone() is None


def test_decoded_payloads_tell_of_a_bound_inside_of_a_recursive_alias() -> None:
    bus = CommandBus()
    bus.register_handler(Grow, lambda command: None)
    with pytest.raises(ValidationError) as caught:
        bus.execute_json(b'{"$type": "Grow", "tree": {"kids": [{"value": 0}]}}')
    assert caught.value.errors == [("$.tree.kids[0].value", "gt", "expected int > 0")]


class Grow(Command[None]):
    tree: Stem


class Stem(Struct):
    kids: list[Stem] = []
    value: Positive = 1


SHADOWS = """
from typing import Annotated, no_type_check
from msgspec import Meta, Struct
str = Annotated[int, Meta(gt=0)]
Number = float
class Shadowed(Struct):
    f: "str"
class Renamed(Struct):
    f: "Number"
class Own(Struct):
    bytes = int
    f: "bytes"
class Mixed(Struct):
    f: "int"
    g: str
class Below(Mixed):
    f: "float"
@no_type_check
class Unchecked(Struct):
    f: int
"""


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("Shadowed", [1], [0]),
        ("Renamed", [1.5], ["x"]),
        ("Own", [1], [b"x"]),
        ("Mixed", [1, 1], ["x", 1]),
        ("Mixed", [1, 1], [1, 0]),
        ("Below", [1.5, 1], ["x", 1]),
    ],
)
def test_a_plain_name_means_what_its_class_and_module_say(
    monkeypatch: pytest.MonkeyPatch, name: str, right: list[Any], wrong: list[Any]
) -> None:
    cls = vars(shadows(monkeypatch))[name]
    check = compile_check(cls)
    assert check is not None
    assert check.errors_of(cls(*right)) == []
    assert len(check.errors_of(cls(*wrong))) == 1


def test_what_is_under_no_type_check_is_not_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert compile_check(shadows(monkeypatch).Unchecked) is None


def shadows(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a module in which some names mean something else than they usually do."""
    module = types.ModuleType("shadows")
    monkeypatch.setitem(sys.modules, "shadows", module)
    exec(SHADOWS, vars(module))
    return module


STATEMENTS = """
from typing import Annotated
from msgspec import Meta, Struct, defstruct
from cqrs_fast.validation.constraints import compile_check
type Positive = Annotated[int, Meta(gt=0)]
type Tree = list[Tree] | Positive
type TreeOf[T] = list[TreeOf[T]] | T
type Even = dict[str, Odd] | Positive
type Odd = list[Even]
type Itself = Itself
type Endless[T] = list[Endless[list[T]]] | T
type EndlessInt = Endless[int]
type Lost = list[Nowhere]
class Node[T](Struct):
    kids: "list[Node[T]]"
    value: T


def errors(annotation, value):
    cls = defstruct("Message", [("f", annotation)], module=__name__)
    return [error[:2] for error in compile_check(cls).errors_of(cls(value))]
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs `type` statements")
def test_type_statements_are_checked_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = types.ModuleType("statements")
    monkeypatch.setitem(sys.modules, "statements", module)
    exec(STATEMENTS, vars(module))
    errors, tree, node = module.errors, module.Tree, module.Node
    assert errors(tree, [1, [2]]) == []
    assert errors(tree, [[-1]]) == [("$.f[0][0]", "gt")]
    assert errors(module.TreeOf[str], [["x"]]) == []
    assert errors(module.TreeOf[str], [[1]]) == [("$.f[0][0]", "type")]
    assert errors(module.Even, {"a": [{"b": [0]}]}) == [("$.f[...][0][...][0]", "gt")]
    assert errors(node[int], node([node([], "x")], 1)) == [
        ("$.f.kids[0].value", "type")
    ]
    for name, text in (
        ("Itself", "refers to itself"),
        ("EndlessInt", "each version of it needs another one"),
        ("Lost", "cannot resolve the annotation 'Lost'"),
    ):
        with pytest.raises(TypeError, match=text):
            errors(getattr(module, name), 1)


def test_literals_and_the_like_take_no_link_for_a_value() -> None:
    """A union of an alias with others is told by all of its parts."""
    cls = defstruct("Message", [("f", Tree | Literal["none"])], module=__name__)
    check = compile_check(cls)
    assert check is not None
    assert check.errors_of(cls("none")) == []
    assert check.errors_of(cls("all")) == [("$.f", "invalid", "expected one of 'none'")]
