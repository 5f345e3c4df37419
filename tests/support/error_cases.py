"""Awkward exceptions, and what each must say when it is handed on."""

from __future__ import annotations

import dataclasses
import io
import json
import sqlite3
import ssl
import subprocess
import threading
import urllib.error
from collections.abc import Callable, Mapping
from contextlib import closing
from email.message import Message
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from cqrs_fast import HandlerNotFoundError, RateLimitExceededError, ValidationError

# No constructor below may run again: a copy that calls one is found out.
ran: list[str] = []


class NotFound(Exception):
    def __init__(self, user_id: int) -> None:
        ran.append("NotFound")
        super().__init__(f"user {user_id} not found")
        self.user_id = user_id


class KeywordsOnly(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__("declined")
        self.code = code


class NewDemands(Exception):
    code: int

    def __new__(cls, code: int, extra: str) -> NewDemands:
        ran.append("NewDemands")
        made = super().__new__(cls, code)
        made.code = code
        return made

    def __init__(self, code: int, extra: str) -> None:
        super().__init__(extra)


class NoBase(Exception):
    """Its constructor hands nothing on."""

    def __init__(self, one: int, two: int) -> None:
        self.one, self.two = one, two


class Slotted(Exception):
    __slots__ = ("__private", "code", "unset")

    def __init__(self, code: int) -> None:
        self.code = code
        self.__private = -code

    @property
    def private(self) -> int:
        return self.__private


class SlottedBelow(Slotted):
    """It hides a slot of its base by its own of the same name."""

    __slots__ = ("__private", "code")

    def __init__(self) -> None:
        super().__init__(7)
        self.__private = "own"
        self.code = 8  # its own; that of the base is set below
        Slotted.code.__set__(self, 9)  # type: ignore[attr-defined]

    @property
    def both(self) -> tuple[Any, ...]:
        code = Slotted.code.__get__(self)  # type: ignore[attr-defined]
        return self.private, self.__private, self.code, code


class Reduced(Exception):
    def __reduce__(self) -> Any:
        return KeyError, ("something else",)


class ReduceRaises(Exception):
    def __reduce_ex__(self, protocol: Any) -> Any:
        raise RuntimeError("not to be pickled")


class StateIgnored(Exception):
    def __setstate__(self, state: Any) -> None:
        ran.append("StateIgnored")


class Demanding(Exception):
    def __init_subclass__(cls, *, code: int) -> None:
        cls.code = code  # type: ignore[attr-defined]


class Demanded(Demanding, code=3):
    pass


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int
    detail: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlots(Exception):
    code: int


class ReadOnly(Exception):
    def __init__(self, code: int) -> None:
        self._code = code

    @property
    def code(self) -> int:
        return self._code


class Sealed(Exception):
    def __init__(self, code: int) -> None:
        self.__dict__["code"] = code

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} cannot be set")


class Secretive(Exception):
    def __getattribute__(self, name: str) -> Any:
        if name in ("args", "__dict__", "__cause__", "__reduce_ex__"):
            raise PermissionError(name)
        return super().__getattribute__(name)


class Unpicklable(Exception):
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.call = lambda: 3


class OddMeta(type):
    def __eq__(cls, other: object) -> bool:
        raise RuntimeError("compared")

    def __hash__(cls) -> int:
        raise RuntimeError("hashed")

    def __instancecheck__(cls, instance: Any) -> bool:
        raise RuntimeError("asked")

    def __call__(cls, *args: Any) -> Any:
        ran.append("OddMeta")
        return super().__call__(*args)


class OfOddMeta(Exception, metaclass=OddMeta):
    pass


class NeverEqual(Exception):
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compared")


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __repr__(self) -> str:
        raise LookupError("no text either")


class ArgsHidden(Exception):
    args = property(lambda self: ("hidden",))  # type: ignore[assignment]


class OwnErrno(OSError):
    def __init__(self, code: int) -> None:
        super().__init__(code, "text", f"file{code}")
        self.code = code


class OwnDecode(UnicodeDecodeError):
    def __init__(self, data: bytes) -> None:
        super().__init__("utf-8", data, 0, 1, "because")


class OwnKey(KeyError):
    def __init__(self, *, key: str) -> None:
        super().__init__(key)


class OwnGroup(ExceptionGroup[Exception]):
    code: int

    def __new__(cls, errors: list[Exception], code: int) -> OwnGroup:
        ran.append("OwnGroup")
        made = super().__new__(cls, "several", errors)
        made.code = code
        return made


class Mixin:
    def __init__(self, *args: Any, hint: str) -> None:
        super().__init__(*args)
        self.hint = hint


class Mixed(Mixin, LookupError, OSError):
    pass


class Partial(Exception):
    """Its constructor drops what it was given, then changes its args."""

    def __init__(self, *args: Any) -> None:
        super().__init__()
        self.args = (*args, "more")


class Shown(Exception):
    """An error that cannot be copied: its text names its object."""

    def __str__(self) -> str:
        return f"at {id(self)}"


class Closing(Exception):
    """A copy that is freed would close what the original still needs."""

    def __del__(self) -> None:
        ran.append("Closing")


def raised(call: Callable[[], Any]) -> Exception:
    try:
        call()
    except Exception as error:
        return error.with_traceback(None)
    raise AssertionError("nothing was raised")


def no_statement() -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("x")


def set_blocked() -> Exception:
    error = BlockingIOError(11, "full")
    error.characters_written = 3
    return error


def with_notes() -> Exception:
    error = ValueError("noted")
    error.add_note("one")
    return error


class Case(NamedTuple):
    """An error, what it must say when it is handed on, and whether as a copy."""

    make: Callable[[], Exception]
    text: str | None = None
    args: tuple[Any, ...] | None = None
    holds: Mapping[str, Any] = MappingProxyType({})
    copied: bool = True


CASES = [
    Case(lambda: ValueError("a", 1), "('a', 1)", ("a", 1)),
    Case(with_notes, "noted", holds={"__notes__": ["one"]}),
    Case(lambda: NotFound(7), "user 7 not found", holds={"user_id": 7}),
    Case(lambda: KeywordsOnly(code=1), "declined", holds={"code": 1}),
    Case(lambda: NewDemands(2, "x"), "x", ("x",), {"code": 2}),
    Case(lambda: NoBase(1, 2), "(1, 2)", (1, 2), {"one": 1, "two": 2}),
    Case(lambda: Slotted(4), "4", (4,), {"code": 4, "private": -4}),
    Case(SlottedBelow, "", (), {"both": (-7, "own", 8, 9)}),
    Case(lambda: Reduced("x"), "x", ("x",)),
    Case(lambda: ReduceRaises("x"), "x", ("x",)),
    Case(lambda: StateIgnored("x"), "x", ("x",)),
    Case(lambda: Demanded("x"), "x", ("x",), {"code": 3}),
    Case(lambda: Frozen(1, ["x"]), holds={"code": 1, "detail": ["x"]}),
    Case(lambda: FrozenSlots(1), holds={"code": 1}),
    Case(lambda: ReadOnly(5), "5", (5,), {"code": 5}),
    Case(lambda: Sealed(6), "6", (6,), {"code": 6}),
    Case(lambda: Secretive("x"), "x"),
    Case(Unpicklable, "", ()),
    Case(lambda: OfOddMeta("x"), "x", ("x",)),
    Case(lambda: NeverEqual("x"), "x", ("x",)),
    Case(lambda: Silent("x"), None, ("x",)),
    Case(lambda: ArgsHidden("x"), "x", ("hidden",)),
    Case(lambda: Mixed(1, hint="h"), "1", (1,), {"hint": "h", "errno": None}),
    Case(lambda: Partial(1), "(1, 'more')", (1, "more")),
    Case(lambda: OSError(2, "no", "f"), "[Errno 2] no: 'f'", (2, "no"),
         {"errno": 2, "strerror": "no", "filename": "f"}),
    Case(lambda: OSError(2, "no", "f", None, "g"), "[Errno 2] no: 'f' -> 'g'",
         (2, "no"), {"filename2": "g"}),
    Case(lambda: OSError("alone"), "alone", ("alone",), {"errno": None}),
    Case(set_blocked, "[Errno 11] full", (11, "full"), {"characters_written": 3}),
    Case(lambda: OwnErrno(13), "[Errno 13] text: 'file13'", (13, "text"),
         {"code": 13, "errno": 13, "filename": "file13"}),
    Case(lambda: raised(lambda: b"\xff".decode()), holds={"object": b"\xff", "end": 1}),
    Case(lambda: OwnDecode(b"ab"), holds={"object": b"ab", "reason": "because"}),
    Case(lambda: OwnKey(key="k"), "'k'", ("k",)),
    Case(lambda: SyntaxError("bad", ("f", 1, 2, "text")), "bad (f, line 1)",
         holds={"lineno": 1, "text": "text", "filename": "f"}),
    Case(lambda: ImportError("m", name="n", path="p"), "m", ("m",),
         {"name": "n", "path": "p", "msg": "m"}),
    Case(lambda: AttributeError("m", name="n", obj=3), "m", holds={"name": "n"}),
    Case(lambda: StopAsyncIteration(3), "3", (3,)),
    Case(lambda: ExceptionGroup("g", [ValueError(1), KeyError(2)]),
         "g (2 sub-exceptions)", holds={"message": "g"}),
    Case(lambda: OwnGroup([ValueError(1)], 7), "several (1 sub-exception)",
         holds={"code": 7, "message": "several"}),
    Case(lambda: raised(lambda: json.loads("{")), holds={"pos": 1, "doc": "{"}),
    Case(lambda: subprocess.CalledProcessError(1, "ls", b"o"), holds={"output": b"o"}),
    Case(lambda: raised(no_statement),
         'near "x": syntax error', holds={"sqlite_errorname": "SQLITE_ERROR"}),
    Case(lambda: ssl.SSLError(1, "handshake"), holds={"errno": 1}),
    Case(lambda: raised(lambda: msgspec.json.decode(b"[")), "Input data was truncated"),
    Case(lambda: urllib.error.HTTPError("u", 404, "no", Message(), io.BytesIO(b"x")),
         "HTTP Error 404: no", holds={"code": 404, "url": "u"}),
    Case(lambda: HandlerNotFoundError("Get", ["Got"]), holds={"name": "Get"}),
    Case(lambda: RateLimitExceededError(1.5, "m", "n"), holds={"retry_after": 1.5}),
    Case(lambda: ValidationError("no"), holds={"errors": [("$", "invalid", "no")]}),
    Case(lambda: Shown("x"), None, ("x",), copied=False),
    Case(lambda: Closing("x"), "x", ("x",), copied=False),
]  # fmt: skip


def name_of(case: Case) -> str:
    return type(case.make()).__name__


def check(case: Case, error: Exception, one: BaseException) -> None:
    """Compare the caught error with the one that the handler raised."""
    assert type(one) is type(error)
    if case.text is not None:
        assert str(one) == case.text
    if case.args is not None:
        assert one.args == case.args
    for name, value in case.holds.items():
        assert getattr(one, name) == value, name
