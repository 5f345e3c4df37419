"""Hooks that nobody would call are refused where they are put in place."""

from __future__ import annotations

from typing import Any

import pytest
from support import Add

from cqrs_fast import CommandBus, Middleware


class WithoutHooks(Middleware):
    def own(self) -> None: ...


class OnException(Middleware):
    def after(self, call: Any) -> None: ...

    def on_exception(self, call: Any) -> None: ...


class BeforeCall(Middleware):
    def before_call(self, call: Any) -> None: ...


class AfterAll(Middleware):
    def before(self, call: Any) -> None: ...

    @staticmethod
    def afterwards(call: Any) -> None: ...


class Inherited(OnException):
    def before(self, call: Any) -> None: ...


THREE = "before, after and on_error"


@pytest.mark.parametrize(
    ("hooks", "name"),
    [
        (OnException, "on_exception"),
        (BeforeCall, "before_call"),
        (AfterAll, "afterwards"),
        (Inherited, "on_exception"),
    ],
)
def test_a_misspelt_hook_is_refused_with_the_names(hooks: Any, name: str) -> None:
    text = rf"{hooks.__name__}\.{name} is no hook.*the hooks are {THREE}"
    for attempt in (
        lambda: CommandBus(middleware=[hooks()]),
        lambda: CommandBus().add_middleware(hooks()),
        lambda: CommandBus().register_handler(Add, lambda add: 1, middleware=[hooks()]),
    ):
        with pytest.raises(TypeError, match=text):
            attempt()


@pytest.mark.parametrize("hooks", [WithoutHooks, Middleware])
def test_an_object_without_hooks_is_refused(hooks: Any) -> None:
    text = f"{hooks.__name__} has no hook: override one of {THREE}"
    with pytest.raises(TypeError, match=text):
        CommandBus(middleware=[hooks()])


def test_an_async_hook_says_what_to_write() -> None:
    class Async(Middleware):
        async def before(self, call: Any) -> None: ...  # type: ignore[override] # why

    with pytest.raises(TypeError, match=r"Async\.before is async.*async generator"):
        CommandBus(middleware=[Async()])


def test_other_methods_and_attributes_are_its_own_business() -> None:
    class Own(Middleware):
        before_seconds = 3.0
        _on_event = print

        def __init__(self) -> None:
            self.on_retry = print

        def after(self, call: Any) -> None:
            call.result += 1

        @property
        def on_duty(self) -> bool:
            return True

        def own(self) -> None: ...

    bus = CommandBus(middleware=[Own()])
    bus.register_handler(Add, lambda add: add.number)
    assert bus.execute(Add(4)) == 5


def test_a_hook_of_the_object_itself_counts() -> None:
    hooks = Middleware()
    hooks.after = lambda call: None  # type: ignore[method-assign] # as a user would
    bus = CommandBus(middleware=[hooks])
    bus.register_handler(Add, lambda add: add.number)
    assert bus.execute(Add(4)) == 4
    assert bus.describe()[0].stages[0].settings == {"hooks": ["after"]}
