"""Messages: frozen, named by their tag, safe to print."""

from __future__ import annotations

import copy
import enum
import pickle
import types
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from msgspec import Meta

from cqrs_fast.base.message_names import (
    message_kind,
    message_name,
    name_of_class,
)
from cqrs_fast.base.vectorcall import inherit_vectorcall
from cqrs_fast.messages import Command, Event, Query, Secret

T = TypeVar("T")


class CreateUser(Command[int]):
    name: Annotated[str, Meta(min_length=1)]
    email: str = "none"
    idempotent: ClassVar[bool] = True


class FindUserQuery(Query[str]):
    user_id: int


class UserCreatedEvent(Event, kw_only=True):
    user_id: int


class Page(Query[list[T]], Generic[T]):
    item: T


class Credentials(msgspec.Struct):
    login: str
    password: Secret[str]


class Login(Command[None]):
    user: str
    password: Secret[str]
    pin: Annotated[Secret[str], Meta(min_length=4)] | None = None
    codes: list[Secret[str]] = msgspec.field(default_factory=list)


class AdminLogin(Login):
    level: int = 1


class Nested(Command[None]):
    inner: Any


class Kind(enum.StrEnum):
    PAY = "pay"


def define(name: str, **options: Any) -> Any:
    """Define a command without fields."""
    return types.new_class(name, (Command,), options)


# Names


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("PayCommand", "Pay"),
        ("PayQuery", "Pay"),
        ("PayEvent", "Pay"),
        ("Pay", "Pay"),
        ("Command", "Command"),
        ("Query", "Query"),
        ("Event", "Event"),
        ("PayEventCommand", "PayEvent"),
    ],
)
def test_the_default_name_is_the_class_name_without_its_suffix(
    class_name: str, name: str
) -> None:
    message = define(class_name)
    assert message.command_name() == message_name(message) == name
    assert message_name(type(class_name, (), {})) == name


def test_the_name_methods_return_the_tag() -> None:
    assert CreateUser.command_name() == "CreateUser"
    assert FindUserQuery.query_name() == "FindUser"
    assert UserCreatedEvent.event_name() == "UserCreated"
    assert message_name(UserCreatedEvent(user_id=1)) == "UserCreated"
    assert message_name(Page) == message_name(Page[int]) == "Page"
    assert Command.command_name() == "Command"
    assert Query.query_name() == "Query"


def test_the_name_is_on_the_wire() -> None:
    payload = msgspec.json.encode(FindUserQuery(1))
    assert payload == b'{"$type":"FindUser","user_id":1}'
    assert msgspec.json.decode(payload, type=FindUserQuery) == FindUserQuery(1)


def test_an_array_like_message_has_its_name_first() -> None:
    class Move(Command[None], array_like=True):
        x: int

    payload = msgspec.json.encode(Move(1))
    assert payload == b'["Move",1]'
    assert msgspec.json.decode(payload, type=Move) == Move(1)


def test_an_explicit_tag_is_not_inherited() -> None:
    class Pay(Command[None], tag="pay-v2"):
        pass

    class PayTwice(Pay):
        pass

    assert message_name(Pay) == "pay-v2"
    assert message_name(PayTwice) == "PayTwice"


def test_a_tag_may_be_a_function_of_the_class_name() -> None:
    class Pay(Command[None], tag=str.lower):
        pass

    assert message_name(Pay) == "pay"


def test_a_tag_may_be_a_member_of_a_string_enumeration() -> None:
    class Pay(Command[None], tag=Kind.PAY):
        pass

    assert type(message_name(Pay)) is str
    assert message_name(Pay) == "pay"


@pytest.mark.parametrize("tag", [1, True, False, b"x", "", lambda name: 3])
def test_a_tag_that_is_no_string_is_refused(tag: Any) -> None:
    with pytest.raises(TypeError, match="Pay: the tag is the name of the message"):
        define("Pay", tag=tag)


def test_a_field_may_be_called_like_a_name_method() -> None:
    class Scheduled(Event):
        event_name: str  # type: ignore[assignment]  # a calendar has events too

    assert message_name(Scheduled("party")) == "Scheduled"

    @dataclass
    class Plan:
        event_name: str = "party"

    assert message_name(Plan()) == "Plan"
    assert message_kind(Plan) is None


# Names of other classes


@dataclass
class PlainCommand:
    x: int = 1


@attrs.define
class CountQuery:
    x: int = 1


class ModelEvent(pydantic.BaseModel):
    x: int = 1


class WithClassMethod:
    @classmethod
    def query_name(cls) -> str:
        return "by-class"


class WithStaticMethod:
    @staticmethod
    def command_name() -> str:
        return "by-static"


class WithInstanceMethod:
    def __init__(self, name: Any = "by-instance") -> None:
        self.name = name

    def event_name(self) -> Any:
        return self.name


@pytest.mark.parametrize(
    ("cls", "name", "kind"),
    [
        (PlainCommand, "Plain", "command"),
        (CountQuery, "Count", "query"),
        (ModelEvent, "Model", "event"),
        (WithClassMethod, "by-class", "query"),
        (WithStaticMethod, "by-static", "command"),
        (int, "int", None),
    ],
)
def test_any_other_class_has_a_name_and_a_kind(
    cls: type, name: str, kind: str | None
) -> None:
    assert name_of_class(cls) == message_name(cls) == message_name(cls()) == name
    assert message_kind(cls) == kind


def test_a_name_that_only_an_instance_can_tell_is_asked_of_the_instance() -> None:
    assert name_of_class(WithInstanceMethod) is None
    assert message_name(WithInstanceMethod()) == "by-instance"
    assert message_name(WithInstanceMethod) == "WithInstanceMethod"
    assert message_kind(WithInstanceMethod) == "event"


@pytest.mark.parametrize("name", [3, "", None])
def test_a_name_method_that_returns_no_name_is_refused(name: Any) -> None:
    with pytest.raises(TypeError, match=r"event_name\(\) must return a string"):
        message_name(WithInstanceMethod(name))


@pytest.mark.parametrize(
    ("cls", "kind"),
    [
        (CreateUser, "command"),
        (FindUserQuery, "query"),
        (UserCreatedEvent, "event"),
        (Page[int], "query"),
        (Credentials, None),
    ],
)
def test_the_kind_of_a_message_is_that_of_its_base(cls: Any, kind: str | None) -> None:
    assert message_kind(cls) == kind


def test_the_base_decides_the_kind_before_the_name_does() -> None:
    class PayQuery(Command[None]):
        pass

    assert message_kind(PayQuery) == "command"


# What a message is


def test_a_message_is_frozen_and_hashable() -> None:
    message = CreateUser("ann")
    with pytest.raises(AttributeError):
        message.name = "bob"  # type: ignore[misc,unused-ignore]  # the point
    assert {message: 1}[CreateUser("ann")] == 1


def test_a_message_that_is_not_frozen_is_refused() -> None:
    with pytest.raises(TypeError, match="Pay: messages are immutable"):
        define("Pay", frozen=False)


def test_the_options_of_a_struct_work() -> None:
    class Pay(
        Command[None],
        gc=False,
        cache_hash=True,
        kw_only=True,
        omit_defaults=True,
        rename="camel",
        forbid_unknown_fields=True,
        tag_field="kind",
    ):
        to_whom: str
        much: int = 1

    pay = Pay(to_whom="ann")
    assert msgspec.json.encode(pay) == b'{"kind":"Pay","toWhom":"ann"}'
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"kind": "Pay", "toWhom": "a", "x": 1}, Pay)
    with pytest.raises(TypeError):
        Pay("ann")  # type: ignore[misc,call-arg,unused-ignore]  # the point
    assert Pay.__struct_config__.gc is False
    assert hash(pay) == hash(Pay(to_whom="ann"))


@pytest.mark.parametrize(
    "message",
    [CreateUser("a"), FindUserQuery(1), UserCreatedEvent(user_id=1), Login("a", "b")],
    ids=repr,
)
def test_a_message_pickles_and_copies(message: Any) -> None:
    assert pickle.loads(pickle.dumps(message)) == message
    assert copy.copy(message) == copy.deepcopy(message) == message
    assert msgspec.structs.replace(message) == message


def test_a_command_is_idempotent_only_where_it_says_so() -> None:
    assert CreateUser.idempotent is True
    assert Login.idempotent is False


def test_a_generic_message_has_fields_of_its_type_parameter() -> None:
    page = msgspec.convert({"$type": "Page", "item": 1}, Page[int])
    assert page == Page(1)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"$type": "Page", "item": "x"}, Page[int])


# Secrets


def test_a_secret_is_a_plain_value_also_on_the_wire() -> None:
    login = Login("ann", "hunter2")
    assert login.password == "hunter2"
    assert b'"password":"hunter2"' in msgspec.json.encode(login)
    assert msgspec.json.decode(msgspec.json.encode(login), type=Login) == login


def test_the_constraints_of_a_secret_are_checked() -> None:
    payload = b'{"$type":"Login","user":"a","password":"b","pin":"123"}'
    with pytest.raises(msgspec.ValidationError, match="length >= 4"):
        msgspec.json.decode(payload, type=Login)


@pytest.mark.parametrize("cls", [Login, AdminLogin])
def test_no_text_of_a_message_shows_a_secret(cls: type[Login]) -> None:
    login = cls("ann", "hunter2", "hunter3", ["hunter4"])
    rich = repr(login.__rich_repr__())
    for text in (repr(login), str(login), f"{login}", f"{[login]}", rich):
        assert "hunter" not in text
        assert "***" in text
        assert "ann" in text


def test_a_message_with_a_secret_looks_like_any_other() -> None:
    login = Login("ann", "hunter2")
    expected = "Login(user='ann', password='***', pin='***', codes='***')"
    assert repr(login) == expected
    assert ("password", "***") in login.__rich_repr__()


def test_a_struct_nested_in_a_message_shows_no_secret() -> None:
    credentials = Credentials("ann", "hunter2")
    for inner in (credentials, [credentials], {"a": (credentials,)}, Nested([1])):
        message = Nested([inner, credentials])
        assert "hunter2" not in repr(message)
        assert "hunter2" not in repr(message.__rich_repr__())
        assert "Credentials(login='ann', password='***')" in repr(message)


def test_a_secret_type_argument_masks_the_field_of_that_type() -> None:
    class Tokens(Page[Secret[str]]):
        size: int = 1

    assert repr(Tokens("hunter2")) == "Tokens(item='***', size=1)"


def test_annotations_that_cannot_be_resolved_mask_every_field() -> None:
    class Odd(Command[None]):
        user: str
        other: NoSuchName  # type: ignore[name-defined]  # noqa: F821  # the point

    assert repr(Odd("ann", 1)) == "Odd(user='***', other='***')"


def test_a_class_without_secrets_has_the_repr_that_msgspec_gives() -> None:
    class Plain(Command[None]):
        user: str
        sizes: list[int]

    plain = Plain("ann", [1])
    assert repr(plain) == "Plain(user='ann', sizes=[1])"
    assert repr(plain) == msgspec.Struct.__repr__(plain)


def test_defaults_are_left_out_of_the_repr_where_asked_for() -> None:
    class Short(Command[None], repr_omit_defaults=True):
        token: Secret[str]
        size: int = 1

    assert repr(Short("hunter2")) == "Short(token='***')"


def test_a_subclass_with_a_secret_may_extend_the_repr_of_a_base_without() -> None:
    class Base(Command[None]):
        user: str

    assert repr(Base("ann")) == "Base(user='ann')"

    class Sub(Base):
        token: Secret[str] = "hunter2"

        def __repr__(self) -> str:
            return "sub " + super().__repr__()

    assert repr(Base("ann")) == "Base(user='ann')"
    assert repr(Sub("ann")) == "sub Sub(user='ann', token='***')"
    assert repr(Base("ann")) == "Base(user='ann')"


def test_a_repr_that_the_author_wrote_is_kept_and_inherited() -> None:
    class Base(Command[None]):
        user: str

        def __repr__(self) -> str:
            return "mine"

    class Sub(Base):
        pass

    assert repr(Base("a")) == repr(Sub("a")) == "mine"


def test_messages_are_made_as_fast_as_plain_structs_are() -> None:
    """By Py_TPFLAGS_HAVE_VECTORCALL: 3.11 lets no Python metaclass inherit it."""
    assert type(Command).__flags__ & 1 << 11
    assert msgspec.StructMeta.__flags__ & 1 << 11


def test_vectorcall_is_for_metaclasses() -> None:
    with pytest.raises(TypeError, match="expected a metaclass, got 3"):
        inherit_vectorcall(3)  # type: ignore[type-var]  # what is refused
    with pytest.raises(TypeError, match="expected a metaclass, got <class 'object'>"):
        inherit_vectorcall(object)
