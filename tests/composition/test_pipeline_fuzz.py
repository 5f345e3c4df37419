"""Random pipelines behave as nested calls do: the model is forty lines of Python."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support import DRIVERS, Halt, Part, run


def model(parts: list[Part], act: tuple[str, Any], log: list[str]) -> Any:
    if not parts:
        log.append("handler")
        return settle(act)
    part, inner = parts[0], parts[1:]
    log.append(f"{part.name}>")
    if part.form != "hook":
        return model_around(part, inner, act, log)
    action, value = part.acts.get("before", ("pass", None))
    if action != "pass":
        return settle((action, value))
    try:
        result = model(inner, act, log)
    except BaseException as error:
        log.append(f"!{part.name}")
        action, value = part.acts.get("on_error", ("pass", None))
        stays = not isinstance(error, Exception)
        if action == "pass" or (stays and isinstance(value, Exception | int)):
            raise
        return settle((action, value))
    log.append(f"<{part.name}")
    action, value = part.acts.get("after", ("pass", None))
    return result if action == "pass" else settle((action, value))


def model_around(part: Part, inner: list[Part], act: Any, log: list[str]) -> Any:
    action, value = part.acts.get("call", ("pass", None))
    if action == "skip":
        return value
    if action == "raise-in":
        raise value
    try:
        for _ in range(2 if action == "twice" else 1):
            result = model(inner, act, log)
    except BaseException as error:
        log.append(f"!{part.name}")
        if action == "recover" and isinstance(error, Exception):
            return value
        raise
    log.append(f"<{part.name}")
    if action == "raise-out":
        raise value
    return value if action == "replace" else result


def settle(act: tuple[str, Any]) -> Any:
    if act[0] in ("raise", "error"):
        raise act[1]
    return act[1]


numbers = st.integers(0, 9)
errors = st.builds(ValueError, numbers)
halts = st.builds(Halt, numbers)
acts = st.one_of(
    st.tuples(st.just("result"), numbers),
    st.tuples(st.sampled_from(["raise", "error"]), errors),
)
raising = st.tuples(st.just("raise"), st.one_of(errors, halts))
hooks = st.dictionaries(
    st.sampled_from(["before", "after", "on_error"]), acts, max_size=2
).map(lambda found: ("hook", found))
calls = st.one_of(
    st.tuples(
        st.sampled_from(["skip", "replace", "recover", "twice", "pass"]), numbers
    ),
    st.tuples(st.sampled_from(["raise-in", "raise-out"]), st.one_of(errors, halts)),
)
arounds = st.tuples(
    st.sampled_from(["around", "factory"]), calls.map(lambda act: {"call": act})
)
pipelines = st.lists(st.one_of(hooks, arounds), max_size=6)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(pipelines, st.one_of(st.tuples(st.just("result"), numbers), raising), numbers)
def test_random_pipelines_are_nested_calls(
    shape: list[tuple[str, Any]], act: tuple[str, Any], own: int
) -> None:
    parts = [Part(form, chr(65 + n), acts) for n, (form, acts) in enumerate(shape)]
    expected: list[str] = []
    try:
        wanted = "result", model(parts, act, expected)
    except BaseException as error:
        wanted = "raise", error
    for driver in DRIVERS:
        log, outcome = run(driver, parts, act, min(own, len(parts)))
        assert log == expected, driver.name
        assert outcome == wanted, driver.name
