"""A service stays as its file says, and as it was where the file cannot be used."""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from config_files import WAYS, in_force, link, number_of, replace, text_of
from reliability.parts import Get, Put
from support import eventually, run_script

from cqrs_fast import (
    CommandBus,
    Config,
    ConfigError,
    ConfigManager,
    QueryBus,
    RouteInfo,
)
from cqrs_fast.config import watching

POLL = 0.005

NOBODY = 65534


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Keep this process from a file; root by being somebody else for a while."""
    if os.geteuid() != 0:
        path.chmod(0)
        yield
        path.chmod(0o600)
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "configs"
    directory.mkdir()
    return directory / "service.json"


@pytest.fixture
def manager(path: Path) -> Iterator[ConfigManager]:
    """A manager of a file that gives 1; whatever a test does, it is stopped."""
    path.write_text(text_of(1))
    manager = ConfigManager(path, poll=POLL)
    yield manager
    assert manager.stop()


@pytest.fixture(params=["polls", "events"])
def watched(
    request: pytest.FixtureRequest,
    manager: ConfigManager,
    monkeypatch: pytest.MonkeyPatch,
) -> ConfigManager:
    """The same, watched in either way."""
    if request.param == "polls":
        without_events(monkeypatch)
    _ = manager.config
    manager.watch_config()
    return manager


def without_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)


def fails(manager: ConfigManager, text: str) -> None:
    """Wait for a reload that fails so."""
    eventually(lambda: text in str(manager.last_error))


def stages_of(bus: Any) -> dict[str, dict[str, Any]]:
    route: RouteInfo = bus.describe()[0]
    return {stage.kind: stage.settings for stage in route.stages}


def timeouts(*buses: Any) -> list[float]:
    return [stages_of(bus)["TimeoutMiddleware"]["seconds"] for bus in buses]


def made(manager: ConfigManager, **overrides: Any) -> tuple[CommandBus, QueryBus]:
    commands = CommandBus.from_config(manager.config, **overrides)
    commands.register_handler(Put, lambda message: message.number)
    queries = QueryBus.from_config(manager.config, **overrides)
    queries.register_handler(Get, lambda message: message.number)
    manager.apply_to(commands, queries)
    return commands, queries


# Arguments


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"path": 3}, TypeError, "expected str, bytes or os.PathLike object, not int"),
        (
            {"path": b"c.json"},
            TypeError,
            "path must be a str or a PathLike of str, got b'c.json'",
        ),
        ({"env_prefix": 3}, TypeError, "prefix must be a str, got 3"),
        (
            {"env_prefix": "CQRS_FAST_"},
            ValueError,
            "prefix must be the beginning of a variable's name, and not CQRS_FAST_, "
            "got 'CQRS_FAST_'",
        ),
        ({"poll": True}, TypeError, "poll must be a number of seconds, got True"),
        (
            {"poll": 0},
            ValueError,
            "poll must be more than 0 and at most 1e9 seconds, got 0",
        ),
        (
            {"poll": float("nan")},
            ValueError,
            "poll must be more than 0 and at most 1e9 seconds, got nan",
        ),
    ],
)
def test_arguments_are_checked(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as raised:
        ConfigManager(**{"path": "c.json", **arguments})
    assert str(raised.value) == text


def test_methods_check_what_they_are_given(manager: ConfigManager) -> None:
    wrong: Any = 3
    with pytest.raises(TypeError, match=r"^callback must be callable, got 3$"):
        manager.on_change(wrong)

    async def awaited(old: Config, new: Config) -> None: ...

    with pytest.raises(TypeError, match=r"^callback must be no async function"):
        manager.on_change(awaited)
    with pytest.raises(
        TypeError, match=r"^expected a CommandBus or a QueryBus, got 3$"
    ):
        manager.apply_to(wrong)
    with pytest.raises(TypeError, match=r"^timeout must be a number of seconds"):
        manager.stop(wrong is not None)


def test_making_one_reads_nothing(path: Path) -> None:
    manager = ConfigManager(path)
    assert (manager.version, manager.last_error, manager.reloads) == (0, None, 0)
    assert (manager.failures, manager.pending_restart) == (0, ())
    assert not manager.is_watching
    assert manager.stop()
    assert repr(manager) == f"<ConfigManager '{path}' version 0>"
    with pytest.raises(ConfigError, match="there is no such file"):
        _ = manager.config
    path.write_text(text_of(7))
    assert number_of(manager.config) == 7
    assert (manager.version, manager.last_error) == (1, None)
    assert (manager.reloads, manager.failures) == (1, 1)


def test_a_relative_path_is_of_where_the_process_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(text_of(7))
    monkeypatch.chdir(path.parent)
    manager = ConfigManager(path.name)
    monkeypatch.chdir("/")
    assert manager.path == str(path)
    assert number_of(manager.config) == 7


# Loading


def test_load_config_raises_and_keeps_the_last_good_one(
    manager: ConfigManager, path: Path
) -> None:
    good = manager.load_config()
    path.write_text('{"middleware": {"retyr": {}}}')
    with pytest.raises(ConfigError) as raised:
        manager.load_config()
    assert str(raised.value) == (
        f"{path}: middleware.retyr: unknown key (did you mean retry?)"
    )
    assert str(manager.last_error) == str(raised.value)
    assert manager.config is good
    assert (manager.version, manager.reloads, manager.failures) == (1, 1, 1)
    path.write_text(text_of(2))
    assert number_of(manager.load_config()) == 2
    assert manager.last_error is None
    assert (manager.version, manager.reloads, manager.failures) == (2, 2, 1)


def test_the_version_counts_what_differs(manager: ConfigManager, path: Path) -> None:
    for text in (text_of(1), text_of(1) + "\n\n", '{"preset": "default"}', "{}"):
        path.write_text(text)
        manager.load_config()
    assert (manager.version, manager.reloads) == (2, 4)


def test_the_environment_is_applied_again_at_each_reload(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(text_of(1))
    manager = ConfigManager(path, env_prefix="HERE_")
    assert number_of(manager.config) == 1
    monkeypatch.setenv("HERE_MIDDLEWARE__TIMEOUT__TIMEOUT_MS", "2")
    assert number_of(manager.load_config()) == 2
    path.write_text(text_of(3))
    assert number_of(manager.load_config()) == 2
    monkeypatch.setenv("HERE_MIDDLEWARE__TIMEOUT__TIMEOUT_MS", "soon")
    with pytest.raises(ConfigError, match=r"^HERE_MIDDLEWARE__TIMEOUT__TIMEOUT_MS: "):
        manager.load_config()
    assert number_of(manager.config) == 2
    monkeypatch.delenv("HERE_MIDDLEWARE__TIMEOUT__TIMEOUT_MS")
    assert number_of(manager.load_config()) == 3


def test_loads_of_many_threads_never_go_back(
    manager: ConfigManager, path: Path
) -> None:
    """What is in force afterwards is what was there last, version by version."""
    seen: list[tuple[int, int]] = []

    def load() -> None:
        for _ in range(50):
            manager.load_config()

    manager.on_change(lambda old, new: seen.append((number_of(old), number_of(new))))
    _ = manager.config
    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(2, 200):
        replace(path, text_of(number))
    for thread in threads:
        thread.join()
    assert number_of(manager.load_config()) == 199
    assert manager.version <= 199
    assert manager.reloads == 202
    numbers = [1, *[new for _, new in seen]]
    assert numbers == sorted(set(numbers))
    assert [old for old, _ in seen] == numbers[:-1]


def test_an_interrupted_load_is_made_up_for_by_the_watcher(
    manager: ConfigManager, path: Path
) -> None:
    """What it read was never in force, so it is still news."""
    interrupts = [KeyboardInterrupt]

    def factory(next: Any) -> Any:
        if number_of(manager.config) == 1 and path.read_text() != text_of(1):
            while interrupts:
                raise interrupts.pop()
        return next

    buses = made(manager, middleware=[factory])
    path.write_text(text_of(2))
    with pytest.raises(KeyboardInterrupt):
        manager.load_config()
    assert number_of(manager.config) == 1
    manager.watch_config()
    eventually(in_force(manager, 2))
    assert timeouts(*buses) == [0.002] * 2


def test_an_error_between_file_and_environment_names_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text('{"middleware": {"circuit_breaker": {"max_timeout_sec": 50}}}')
    monkeypatch.setenv("XY_MIDDLEWARE__CIRCUIT_BREAKER__TIMEOUT_SEC", "100")
    manager = ConfigManager(path, env_prefix="XY_")
    with pytest.raises(ConfigError) as caught:
        manager.load_config()
    assert caught.value.path == str(path)
    assert caught.value.key == "middleware.circuit_breaker"
    assert str(manager.last_error) == str(caught.value)


def test_a_first_load_that_fails_leaves_none_in_force(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError):
        ConfigManager(path).load_config()
    assert [one.getMessage() for one in caplog.records] == [
        "the configuration cannot be loaded, and none is in force: "
        f"{path}: there is no such file"
    ]


# Buses


def test_buses_follow(manager: ConfigManager, path: Path) -> None:
    buses = made(manager)
    assert timeouts(*buses) == [0.001, 0.001]
    path.write_text(text_of(2, rate_limiting={"enabled": True}))
    manager.load_config()
    assert timeouts(*buses) == [0.002, 0.002]
    assert "RateLimitingMiddleware" in stages_of(buses[0])


def test_apply_to_puts_what_is_in_force_on_a_bus(manager: ConfigManager) -> None:
    bus = CommandBus()
    bus.register_handler(Put, lambda message: message.number)
    manager.apply_to(bus)
    manager.apply_to(bus)
    assert timeouts(bus) == [0.001]
    assert bus.execute(Put(3)) == 3


def test_what_code_gave_a_bus_wins(manager: ConfigManager, path: Path) -> None:
    buses = made(manager, enable_metrics=True)
    path.write_text(text_of(2))
    manager.load_config()
    for bus in buses:
        assert "Metrics" in stages_of(bus)


def test_buses_are_held_weakly(manager: ConfigManager, path: Path) -> None:
    gone = [weakref.ref(bus) for bus in made(manager)]
    gc.collect()
    assert [one() for one in gone] == [None, None]
    path.write_text(text_of(2))
    assert number_of(manager.load_config()) == 2


def refusing(next: Any) -> Any:
    """A factory that makes its part of a route only once."""
    if refusing.__dict__.setdefault("routes", set()):
        raise RuntimeError("once is enough")
    refusing.__dict__["routes"].add(next)
    return lambda ctx, message: next(ctx, message)


def test_a_bus_that_refuses_keeps_all_as_they_are(
    manager: ConfigManager, path: Path
) -> None:
    commands, queries = made(manager)
    refusing.__dict__.clear()
    other = CommandBus(middleware=[refusing])
    other.register_handler(Put, lambda message: message.number)
    refused = f"{path}: a bus rejected it: RuntimeError: once is enough"
    with pytest.raises(ConfigError) as raised:
        manager.apply_to(other)
    assert str(raised.value) == refused
    assert "TimeoutMiddleware" not in stages_of(other)

    refusing.__dict__.clear()
    manager.apply_to(other)
    path.write_text(text_of(2))
    with pytest.raises(ConfigError) as raised:
        manager.load_config()
    assert str(raised.value) == str(manager.last_error) == refused
    assert number_of(manager.config) == manager.version == 1
    assert timeouts(commands, queries, other) == [0.001] * 3
    assert commands.execute(Put(1)) == other.execute(Put(1)) == 1
    del other, raised  # whose traceback holds the buses
    gc.collect()
    assert number_of(manager.load_config()) == 2
    assert timeouts(commands, queries) == [0.002] * 2


def test_apply_to_needs_a_good_file(path: Path) -> None:
    bus = CommandBus()
    with pytest.raises(ConfigError, match="there is no such file"):
        ConfigManager(path).apply_to(bus)


def test_what_needs_a_restart_is_told_once(
    manager: ConfigManager, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    buses = made(manager)
    assert manager.pending_restart == ()
    for number in (1, 2, 3):
        path.write_text(
            json.dumps({"performance": {"pool_size": 100 * number}, "monitoring": {}})
        )
        manager.load_config()
    assert manager.pending_restart == ("performance.pool_size",)
    told = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [one.getMessage() for one in told] == [
        f"{path}: only a restart changes performance.pool_size"
    ]
    path.write_text("{}")
    manager.load_config()
    assert manager.pending_restart == ()
    assert len(buses) == 2


def test_what_waited_for_a_restart_waits_no_more_with_its_bus(
    manager: ConfigManager, path: Path
) -> None:
    old = made(manager)
    replace(path, '{"performance": {"pool_size": 7}}')
    manager.load_config()
    assert manager.pending_restart == ("performance.pool_size",)
    del old
    gc.collect()
    new = made(manager)
    assert manager.pending_restart == ()
    del new


# Watching


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_change_a_file_is_seen(
    watched: ConfigManager, path: Path, way: str
) -> None:
    commands, queries = made(watched)
    for number in range(2, 6):
        WAYS[way](path, text_of(number))
        eventually(in_force(watched, number))
        assert timeouts(commands, queries) == [number / 1000] * 2
        assert watched.last_error is None or way != "replaced"


@pytest.mark.parametrize("way", WAYS)
def test_events_need_no_poll(path: Path, way: str) -> None:
    """A change that only a poll could tell would come an hour late."""
    path.write_text(text_of(1))
    with ConfigManager(path, poll=3600) as manager:
        assert number_of(manager.config) == 1
        # Its thread asks for the events; what happened before, a look had to see.
        for number in range(2, 4):
            end = time.monotonic() + 5
            while number_of(manager.config) != number:
                assert time.monotonic() < end
                WAYS[way](path, text_of(number))
                wait_until(in_force(manager, number), 0.5)


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)


def test_a_poll_sees_what_no_event_tells(
    manager: ConfigManager, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system of another machine."""
    import watchfiles

    real = watchfiles.watch

    def deaf(*directories: str, **settings: Any) -> Any:
        settings["watch_filter"] = lambda _, path: False
        return real(*directories, **settings)

    monkeypatch.setattr(watchfiles, "watch", deaf)
    with manager:
        for number in range(2, 5):
            replace(path, text_of(number))
            eventually(in_force(manager, number))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), None])
def test_without_events_it_polls_and_says_so(
    manager: ConfigManager,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: OSError | None,
) -> None:
    """As where the system grants no further watch, or the events end."""

    def broken(*directories: str, **settings: Any) -> Iterator[Any]:
        if error is not None:
            raise error
        yield from ()

    monkeypatch.setattr("watchfiles.watch", broken)
    with manager:
        for number in range(2, 5):
            replace(path, text_of(number))
            eventually(in_force(manager, number))
    said = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    why = "OSError: [Errno 28] No space left on device"
    if error is None:
        why = "RuntimeError: they ended"
    assert said == [f"{path}: polls every 0.005 s for changes, as events failed: {why}"]


def test_watching_loads_what_was_not_loaded(manager: ConfigManager) -> None:
    manager.watch_config()
    eventually(lambda: manager.version == 1)


def test_watching_twice_is_watching(manager: ConfigManager) -> None:
    before = threading.active_count()
    with manager:
        manager.watch_config()
        assert manager.is_watching
        assert threading.active_count() == before + 1
    assert not manager.is_watching
    assert threading.active_count() == before
    assert manager.stop()
    with manager:
        assert manager.is_watching


def test_a_change_must_stand_still(path: Path) -> None:
    """A check sees what is new, the next one confirms it, and it is reported once."""
    path.write_text("1")
    changes = watching.Changes(str(path))
    assert (changes.check(), changes.pending) == (None, True)
    assert changes.check() == (b"1", None)
    assert (changes.check(), changes.pending) == (None, False)
    for data in (b"2", b"3", b"4"):
        path.write_bytes(data)
        assert (changes.check(), changes.pending) == (None, True)
    assert changes.check() == (b"4", None)
    os.utime(path)
    assert (changes.check(), changes.pending) == (None, False)
    path.unlink()
    assert (changes.check(), changes.pending) == (None, True)
    gone = changes.check()
    assert gone is not None
    assert gone.problem == f"{path}: there is no such file"
    assert changes.check() is None


def test_a_file_that_rests_is_not_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But as long as its times may be those of a later write, it is."""
    path.write_text("1")
    status = path.stat()
    changes = watching.Changes(str(path))
    assert [changes.check(), changes.check()] == [None, (b"1", None)]
    path.write_text("2")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [changes.check(), changes.check()] == [None, (b"2", None)]

    monkeypatch.setattr(watching, "COARSEST_TICK", 0)
    assert [changes.check(), changes.check()] == [None, None]
    monkeypatch.setattr(watching, "content_of", None)  # a read would raise
    assert changes.check() is None


# Bad files


BAD = [
    ("cut off", '{"middleware": {"timeout": {"time', "the file ends too early"),
    ("empty", "", "the file is empty"),
    ("out of range", text_of(-1), "expected"),
    ("unknown key", '{"midleware": {}}', "did you mean middleware?"),
    (
        "refused",
        text_of(
            2,
            rate_limiting={
                "enabled": True,
                "requests_per_window": 10**12 - 1,
                "window_sec": 1e9,
            },
        ),
        "middleware.rate_limiting: ",
    ),
]


@pytest.mark.parametrize(
    ("text", "said"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD]
)
def test_a_bad_file_changes_nothing(
    watched: ConfigManager,
    path: Path,
    text: str,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    buses = made(watched)
    changed: list[Config] = []
    watched.on_change(lambda old, new: changed.append(new))
    good = watched.config
    replace(path, text)
    fails(watched, said)
    # Some polls later it is still no more than that.
    time.sleep(10 * POLL)
    assert watched.config is good
    assert watched.version == watched.failures == 1
    assert changed == []
    assert timeouts(*buses) == [0.001] * 2
    errors = [one for one in caplog.records if one.levelname == "ERROR"]
    assert [one.getMessage() for one in errors] == [
        "the configuration cannot be loaded; version 1 stays in force: "
        f"{watched.last_error}"
    ]
    replace(path, text_of(2))
    eventually(in_force(watched, 2))
    assert watched.last_error is None
    eventually(lambda: len(changed) == 1)


def test_a_half_written_file_is_never_in_force(
    watched: ConfigManager, path: Path
) -> None:
    versions = set()
    watched.on_change(lambda old, new: versions.add(number_of(new)))
    text = text_of(22)
    with path.open("w") as file:
        for at in range(0, len(text), 7):
            file.write(text[at : at + 7])
            file.flush()
            time.sleep(2 * POLL)
    eventually(in_force(watched, 22))
    eventually(lambda: versions == {22})
    assert watched.version == 2


def test_a_file_that_is_gone_is_told_once(
    watched: ConfigManager, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.unlink()
    fails(watched, "there is no such file")
    time.sleep(10 * POLL)
    assert watched.failures == 1
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 1
    assert number_of(watched.config) == 1
    path.write_text(text_of(1))
    eventually(lambda: watched.last_error is None)
    assert watched.version == 1


def test_a_file_that_everybody_may_write_is_not_taken(
    watched: ConfigManager, path: Path
) -> None:
    path.chmod(0o666)
    fails(watched, "everybody may write it (chmod o-w)")
    path.write_text(text_of(2))
    time.sleep(10 * POLL)
    assert number_of(watched.config) == 1
    path.chmod(0o644)
    eventually(in_force(watched, 2))


def test_a_file_that_cannot_be_read_is_not_taken(
    watched: ConfigManager, path: Path
) -> None:
    with unreadable(path):
        fails(watched, "cannot be read: Permission denied")
    eventually(lambda: watched.last_error is None)
    assert watched.version == 1


def test_what_is_no_file_is_not_waited_for(watched: ConfigManager, path: Path) -> None:
    path.unlink()
    os.mkfifo(path)
    fails(watched, "is not a regular file")
    path.unlink()
    path.symlink_to(path)
    fails(watched, "cannot be read: Too many levels of symbolic links")
    path.unlink()
    path.mkdir()
    fails(watched, "is a directory")
    path.rmdir()
    link(path, text_of(2))
    eventually(in_force(watched, 2))


def test_each_different_error_is_told_once(
    manager: ConfigManager, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def load(text: str) -> None:
        path.write_text(text)
        with pytest.raises(ConfigError):
            manager.load_config()

    def told() -> int:
        return len([one for one in caplog.records if one.levelname == "ERROR"])

    for _ in range(3):
        load("")
        load("{")
    assert (told(), manager.failures) == (2, 6)
    path.write_text(text_of(1))
    manager.load_config()
    load("")
    assert (told(), manager.failures) == (3, 7)
    for number in range(150):  # what is remembered of them is bounded
        load(f'{{"x{number}": 1}}')
    load("")
    assert told() == 154


def test_a_storm_of_writes_becomes_few_reloads(
    watched: ConfigManager, path: Path
) -> None:
    versions: list[int] = []
    watched.on_change(lambda old, new: versions.append(number_of(new)))
    for number in range(2, 1_000):
        replace(path, text_of(number))
    eventually(in_force(watched, 999))
    eventually(lambda: versions[-1:] == [999])
    assert versions == sorted(set(versions))
    assert watched.version <= 100
    assert watched.failures == 0


def test_a_watcher_survives_what_nobody_foresaw(
    manager: ConfigManager,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real, left = watching.content_of, [MemoryError()] * 3

    def content_of(path: str) -> watching.Content:
        if left:
            raise left.pop()
        return real(path)

    monkeypatch.setattr(watching, "content_of", content_of)
    with manager:
        eventually(lambda: manager.version == 1)
    told = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert told == [f"{path}: still watching after an unexpected error: MemoryError()"]


# Callbacks


def test_callbacks_hear_of_changes_only(manager: ConfigManager, path: Path) -> None:
    seen: list[Any] = []

    @manager.on_change
    def first(old: Config, new: Config) -> None:
        # After the swap: what is told is in force.
        assert manager.config is new
        seen.append(("first", number_of(old), number_of(new)))

    manager.on_change(lambda old, new: seen.append("second"))
    assert callable(first)
    manager.load_config()
    manager.load_config()
    path.write_text(f" {text_of(1)}")
    manager.load_config()
    assert seen == []
    path.write_text(text_of(2))
    manager.load_config()
    assert seen == [("first", 1, 2), "second"]


def test_a_callback_that_raises_is_told_and_changes_nothing(
    manager: ConfigManager, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    @manager.on_change
    def broken(old: Config, new: Config) -> None:
        raise ValueError("broken")

    manager.on_change(lambda old, new: seen.append(number_of(new)))
    _ = manager.config
    path.write_text(text_of(2))
    assert number_of(manager.load_config()) == 2
    assert seen == [2]
    assert manager.last_error is None
    (told,) = [one for one in caplog.records if one.levelname == "ERROR"]
    assert told.getMessage().startswith(f"on_change of {path} raised ValueError")


def test_what_is_no_exception_passes(manager: ConfigManager, path: Path) -> None:
    seen: list[int] = []
    halts = [KeyboardInterrupt()]

    @manager.on_change
    def halt(old: Config, new: Config) -> None:
        seen.append(number_of(new))
        if halts:
            raise halts.pop()

    _ = manager.config
    path.write_text(text_of(2))
    with pytest.raises(KeyboardInterrupt):
        manager.load_config()
    path.write_text(text_of(3))
    manager.load_config()
    assert seen == [2, 3]


def test_a_callback_that_blocks_holds_up_nothing(
    watched: ConfigManager, path: Path
) -> None:
    buses = made(watched)
    opened, seen = threading.Event(), []

    @watched.on_change
    def block(old: Config, new: Config) -> None:
        seen.append((number_of(old), number_of(new)))
        opened.wait(10)

    replace(path, text_of(2))
    eventually(lambda: seen)
    for number in range(3, 6):
        replace(path, text_of(number))
        eventually(in_force(watched, number))
        assert timeouts(*buses) == [number / 1000] * 2
        assert buses[0].execute(Put(number)) == number
    path.write_text(text_of(6))
    assert number_of(watched.load_config()) == 6
    assert not watched.stop(0.01)
    opened.set()
    assert watched.stop()
    # What changed meanwhile is told as one change.
    assert seen == [(1, 2), (2, 6)]


def test_callbacks_may_call_every_method(watched: ConfigManager, path: Path) -> None:
    done, seen = threading.Event(), []
    bus = CommandBus()

    @watched.on_change
    def all_methods(old: Config, new: Config) -> None:
        seen.append(number_of(new))
        assert watched.load_config() == new
        watched.apply_to(bus)
        watched.on_change(lambda old, new: None)
        watched.watch_config()
        assert watched.stop()
        watched.watch_config()
        if number_of(new) == 2:
            replace(path, text_of(3))
            assert number_of(watched.load_config()) == 3
            assert seen == [2]  # it is told when this is over
        else:
            done.set()

    replace(path, text_of(2))
    assert done.wait(5)
    assert seen == [2, 3]
    assert watched.stop()


def test_stop_ends_what_was_watched(watched: ConfigManager, path: Path) -> None:
    before = number_of(watched.config)
    assert watched.stop()
    replace(path, text_of(2))
    time.sleep(10 * POLL)
    assert number_of(watched.config) == before
    assert number_of(watched.load_config()) == 2


def test_a_manager_that_is_dropped_ends_its_thread(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(text_of(1))
    for poll, events in [(3600.0, True), (3600.0, False), (POLL, False)]:
        if not events:
            without_events(monkeypatch)
        before = threading.active_count()
        manager: ConfigManager | None = ConfigManager(path, poll=poll)
        assert manager is not None
        path.write_text("{")
        with pytest.raises(ConfigError):
            manager.load_config()
        manager.watch_config()
        assert threading.active_count() == before + 1
        gone, manager = weakref.ref(manager), None
        eventually(lambda gone=gone: gone() is None or gc.collect() < 0)
        eventually(lambda before=before: threading.active_count() == before)


# Processes


PRELUDE = """
import json, os, sys, tempfile, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from cqrs_fast import *
from config_files import *
from pathlib import Path
path = Path(tempfile.mkdtemp()) / "service.json"
path.write_text(text_of(1))
"""


@pytest.mark.parametrize("events", [True, False])
def test_an_interpreter_ends_while_it_watches(events: bool) -> None:
    hide = "" if events else "sys.modules['watchfiles'] = None"
    out = run_script(f"""{PRELUDE}
{hide}
managers = [ConfigManager(path, poll=poll) for poll in (0.001, 3600)]
for manager in managers:
    manager.on_change(lambda old, new: time.sleep(0.001))
    manager.watch_config()
for number in range(2, 50):
    replace(path, text_of(number))
print("end")
""")
    assert out == "end\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("events", [True, False])
def test_a_forked_child_has_what_was_in_force_and_watches(events: bool) -> None:
    """Whatever the thread of the parent was at, each child goes on at once."""
    hide = "" if events else "sys.modules['watchfiles'] = None"
    out = run_script(f"""{PRELUDE}
from forking import *
{hide}
manager = ConfigManager(path, poll=0.001)
bus = CommandBus.from_config(manager.config)
bus.register_handler(Put, lambda message: message.number)
manager.apply_to(bus)
manager.on_change(lambda old, new: time.sleep(0.001))
manager.watch_config()

def check():
    assert manager.is_watching
    assert bus.execute(Put(3)) == 3
    own = path.with_name("own")
    own.mkdir(exist_ok=True)
    replace(path, text_of(10_000))
    assert number_of(manager.load_config()) == 10_000
    assert manager.stop()
    manager.watch_config()
    replace(path, text_of(10_001))
    eventually(lambda: number_of(manager.config) == 10_001)
    assert manager.stop()

for number in range(2, 12):
    replace(path, text_of(number))
    time.sleep(0.001 * (number % 4))
    fork(check)
assert manager.is_watching
replace(path, text_of(5))
eventually(lambda: number_of(manager.config) == 5)
assert manager.stop()
print("end")
""")
    assert out == "end\n"


def test_what_it_says_at_info_is_one_line_for_each_version(
    manager: ConfigManager, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "cqrs_fast"):
        manager.load_config()
        manager.load_config()
        path.write_text(text_of(2))
        manager.load_config()
    assert [one.getMessage() for one in caplog.records] == [
        f"{path}: version {number} of the configuration is in force"
        for number in (1, 2)
    ]
