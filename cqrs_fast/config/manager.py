"""ConfigManager: the configuration of a running service follows its file.

One reload at a time reads, checks and applies, and publishes one immutable state by one
assignment. Logging and callbacks come after it, without the lock.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self, TypeVar
from weakref import WeakSet

from cqrs_fast.base.arguments import seconds_or_zero, seconds_to_ns
from cqrs_fast.base.forks import notify_of_forks
from cqrs_fast.base.promises import check_plain
from cqrs_fast.buses.bus import CommandBus, QueryBus
from cqrs_fast.config.change_callbacks import Callback, ChangeCallbacks
from cqrs_fast.config.files import read_file
from cqrs_fast.config.loading import config_from, load_config_from_env
from cqrs_fast.config.model import Config
from cqrs_fast.config.reload import apply_config
from cqrs_fast.config.sections import shown
from cqrs_fast.config.watching import LOGGER, Content, Watch, content_of
from cqrs_fast.errors import ConfigError

Bus = CommandBus | QueryBus
F = TypeVar("F", bound=Callback)

# After so many different errors in a row the first may be logged again.
MOST_ERRORS = 100


class _State(NamedTuple):
    """All that a reload changes."""

    config: Config | None = None
    version: int = 0
    last_error: ConfigError | None = None
    reloads: int = 0
    failures: int = 0
    pending_restart: tuple[str, ...] = ()


_managers: WeakSet[ConfigManager] = WeakSet()


class ConfigManager:
    """Keep the last good Config of a file, and buses that follow it.

        manager = ConfigManager("configs/production.json")
        bus = CommandBus.from_config(manager.config)
        manager.apply_to(bus)
        with manager:  # watches the file
            serve(bus)

    A reload reads the file, then the environment, checks the Config, makes the new
    pipelines of every bus, and swaps all of them at one moment. If any step fails
    nothing changes: the last good Config stays in force everywhere, `last_error` has
    the reason, and each different error is logged once, to the logger `cqrs_fast`. A
    file that failed is tried again when it changes, or by `load_config`.

    The constructor reads nothing and starts nothing. All methods are safe to call from
    any thread and from callbacks. They block during a reload, so an event loop should
    call `load_config` and `apply_to` before it serves, or in a thread. A forked child
    keeps the state of the manager; it watches too if its parent did, and logs one line.

    Parameters:
        path: a JSON, TOML or YAML file, as for `load_config`; a relative one starts at
            the current directory of this call.
        env_prefix: None, or the prefix of environment variables, as for
            `load_config_from_env`, which override the file at each reload.
        poll: seconds between two checks of the watched file. Two checks in a row must
            find the same content, so a change is applied after two polls at most; with
            file system events after a part of a second.

    Raises TypeError for arguments of wrong types, ValueError for a poll out of range
    or a prefix that no variable has.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        env_prefix: str | None = None,
        poll: float = 1.0,
    ) -> None:
        name = os.fspath(path)
        if not isinstance(name, str):
            raise TypeError(f"path must be a str or a PathLike of str, got {path!r}")
        if env_prefix is not None:
            with suppress(ConfigError):  # only the prefix is checked here
                load_config_from_env(env_prefix)
        # Joined, not normalised: a/link/../b is not a/b.
        self._path = os.path.join(os.getcwd(), name)
        self._env_prefix = env_prefix
        self._poll = seconds_to_ns("poll", poll) / 1e9
        self._state = _State()
        self._buses: WeakSet[Bus] = WeakSet()
        self._callbacks = ChangeCallbacks(self._path)
        self._taken: Content | None = None  # what the last reload read
        self._logged: set[str] = set()
        self._logs: list[tuple[Callable[..., None], str, tuple[object, ...]]] = []
        self._was_watching = False  # the parent, when this process was forked
        self._forget_threads()
        notify_of_forks(self)
        _managers.add(self)

    def _forget_threads(self) -> None:
        self._lock = threading.RLock()
        self._is_reloading = False
        self._watch: Watch | None = None

    def _after_fork(self) -> None:
        if self._is_reloading:  # in a thread that the child does not have
            self._taken = None
        self._was_watching = self._watch is not None and not self._watch.is_stopped
        self._forget_threads()
        self._callbacks.after_fork()

    def _watch_again(self) -> None:
        if self._was_watching:
            self._was_watching = False
            greeting = f"the forked process {os.getpid()} watches it too, by polling"
            self._watch = Watch(self._path, self._poll, self._take, greeting)

    def __repr__(self) -> str:
        return f"<ConfigManager {self._path!r} version {self.version}>"

    # The state

    @property
    def path(self) -> str:
        """The file, as an absolute path; each read follows symbolic links again."""
        return self._path

    @property
    def config(self) -> Config:
        """The last good Config; the first use loads it and may raise ConfigError."""
        config = self._state.config
        return self.load_config() if config is None else config

    @property
    def version(self) -> int:
        """How many different Configs have been in force: 0 before the first."""
        return self._state.version

    @property
    def last_error(self) -> ConfigError | None:
        """Why the last reload failed; None if it did not."""
        return self._state.last_error

    @property
    def reloads(self) -> int:
        """How many reloads succeeded, whether they changed anything or not."""
        return self._state.reloads

    @property
    def failures(self) -> int:
        """How many reloads failed."""
        return self._state.failures

    @property
    def pending_restart(self) -> tuple[str, ...]:
        """The sorted keys whose values need a restart, such as a pool's size.

        Compares what the applied buses were made with and `config`.
        """
        return self._state.pending_restart

    @property
    def is_watching(self) -> bool:
        """Whether the file is watched, by this process."""
        watch = self._watch
        return watch is not None and watch.is_running

    # Changes

    def load_config(self) -> Config:
        """Load the file now, apply it, and return the new Config.

        Calls the callbacks before it returns, unless another thread calls them already
        or a callback calls this; then that call reports this change too. Raises
        ConfigError if it fails; nothing has changed then.
        """
        with self._lock:
            config = self._reload()
        self._write_logs()
        self._callbacks.notify()
        if isinstance(config, ConfigError):
            raise config
        return config

    def apply_to(self, *buses: Bus) -> None:
        """Apply `config` to buses now, and every later one at its reload.

        Keywords given to `from_config` and middleware that was added elsewhere win over
        it. Buses are held weakly.

        Raises:
            ConfigError: it cannot be loaded, or a bus rejects it; no bus has changed
                then, and none is followed.
            TypeError: an argument is no bus.
        """
        for bus in buses:
            if not isinstance(bus, CommandBus | QueryBus):
                raise TypeError(
                    f"expected a CommandBus or a QueryBus, got {shown(bus)}"
                )
        _ = self.config  # loaded here, without the lock, so callbacks may run
        with self._lock:
            # All buses: some that needed a restart may be gone.
            keys = self._apply(self.config, (*self._buses, *buses))
            self._buses.update(buses)
            self._note_restart(keys)
        self._write_logs()

    def on_change(self, callback: F) -> F:
        """Call `callback(old, new)` after each change of `config`.

        Only if values differ: not after the first load, nor if the file is written
        again. Callbacks run one after another in the order of registration; after a
        reload by the watcher in a separate thread. Changes during a slow callback are
        reported as one when it returns. An exception of a callback is logged.

        Returns the callback, so this may be used as a decorator. TypeError for what
        cannot be called, or only awaited.
        """
        if not callable(callback):
            raise TypeError(f"callback must be callable, got {shown(callback)}")
        check_plain("callback", callback, f", got {shown(callback)}")
        self._callbacks.add(callback)
        return callback

    # Watching

    def watch_config(self) -> None:
        """Start a daemon thread that watches the file; return at once.

        It also loads the present content if that is not in force. Does nothing if the
        file is watched already. The thread ends with `stop`, with the manager, and with
        the interpreter.
        """
        with self._lock:
            if not self.is_watching:
                self._watch = Watch(self._path, self._poll, self._take)

    def stop(self, timeout: float = 5.0) -> bool:
        """Stop watching; wait for a running reload and for callbacks.

        Parameters:
            timeout: seconds to wait at most, for example for a callback that blocks.

        Returns whether they have ended, apart from the caller itself. May be called
        again, and `watch_config` after it.
        """
        until = time.monotonic() + seconds_or_zero("timeout", timeout) / 1e9
        # Without the lock, which the running reload holds.
        watch = self._watch
        ended = watch is None or watch.stop(timeout)
        return self._callbacks.wait(max(until - time.monotonic(), 0)) and ended

    def __enter__(self) -> Self:
        """Watch, as `watch_config` does."""
        self.watch_config()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _take(self, content: Content) -> bool:
        """Reload what the watcher read; False if the file holds something else."""
        with self._lock:
            if content == self._taken:
                return True
            # A reload may have read something newer since the watcher's check.
            if content != content_of(self._path):
                return False
            self._reload()
        self._write_logs()
        self._callbacks.notify_elsewhere()
        return True

    # One reload, under the lock

    def _reload(self) -> Config | ConfigError:
        """Load and apply; return the Config or its error."""
        if self._is_reloading:
            raise RuntimeError("a reload cannot be part of a reload")
        self._is_reloading = True
        try:
            try:
                config = self._read()
                self._accept(config)
                return config
            except ConfigError as error:
                # It names neither if a file and a variable contradict each other.
                error.path = error.path or self._path
                self._note(error)
                return error
        except BaseException:
            # Interrupted: what was read may not be in force, so it counts as new.
            self._taken = None
            raise
        finally:
            self._is_reloading = False

    def _read(self) -> Config:
        try:
            self._taken = Content(read_file(self._path), None)
        except ConfigError as error:
            self._taken = Content(b"", str(error))
            raise
        config = config_from(self._taken.data, self._path)
        if self._env_prefix is not None:
            config = load_config_from_env(self._env_prefix, config)
        return config

    def _accept(self, config: Config) -> None:
        state = self._state
        changed = config != state.config
        keys = state.pending_restart
        if changed:
            keys = tuple(self._apply(config, tuple(self._buses)))
        self._logged.clear()
        self._callbacks.note(config)
        self._state = state._replace(
            config=config,
            version=state.version + changed,
            last_error=None,
            reloads=state.reloads + 1,
        )
        if changed:
            text = f"version {state.version + 1} of the configuration is in force"
            self._logs.append((LOGGER.info, "%s: %s", (self._path, text)))
        self._note_restart(keys)

    def _apply(self, config: Config, buses: tuple[Bus, ...]) -> list[str]:
        try:
            return apply_config(config, buses)
        except ConfigError:
            raise
        except Exception as error:
            # For example of a factory among the middleware.
            text = f"a bus rejected it: {type(error).__name__}: {error}"
            raise ConfigError(text, self._path) from error

    def _note(self, error: ConfigError) -> None:
        # A copy: the traceback of the raised one keeps all its frames alive.
        kept = ConfigError(error.message, error.path, error.key, error.hint)
        kept.others = error.others
        self._state = self._state._replace(
            last_error=kept, failures=self._state.failures + 1
        )
        text = str(error)
        if text in self._logged:
            return
        if len(self._logged) == MOST_ERRORS:
            self._logged.clear()
        self._logged.add(text)
        rest = f"; version {self._state.version} stays in force"
        if self._state.config is None:
            rest = ", and none is in force"
        said = f"the configuration cannot be loaded{rest}: %s"
        self._logs.append((LOGGER.error, said, (text,)))

    def _note_restart(self, keys: Iterable[str]) -> None:
        """Remember what needs a restart, and log what is new of it."""
        keys = tuple(sorted(keys))
        new = [key for key in keys if key not in self._state.pending_restart]
        self._state = self._state._replace(pending_restart=keys)
        if new:
            said = "%s: only a restart changes %s"
            self._logs.append((LOGGER.warning, said, (self._path, ", ".join(new))))

    def _write_logs(self) -> None:
        """Log what a reload noted, without the lock."""
        with suppress(IndexError):  # another thread may take the last one
            while True:
                log, text, arguments = self._logs.pop(0)
                log(text, *arguments)


def _watch_again() -> None:
    for manager in list(_managers):
        manager._watch_again()


# Hooks run in the order of registration: `threading` and `logging` have had theirs.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watch_again)
