"""ConfigManager: the configuration of a running service, kept as its file says.

One reload at a time reads, checks and applies; what it comes to is one immutable state,
published by one assignment. Logging and callbacks come after it, under no lock.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
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

# Different errors in a row that are logged before the first may be logged again.
MOST_ERRORS = 100


class _State(NamedTuple):
    """All that a reload changes."""

    config: Config | None = None
    version: int = 0
    last_error: ConfigError | None = None
    reloads: int = 0
    failures: int = 0
    pending_restart: tuple[str, ...] = ()


class ConfigManager:
    """Keep the last good Config of a file, and buses that follow it.

        manager = ConfigManager("configs/production.json")
        bus = CommandBus.from_config(manager.config)
        manager.apply_to(bus)
        with manager:  # watches the file
            serve(bus)

    A reload reads the file, then the environment, checks the Config, makes the new
    pipelines of every bus, and swaps all of them at one moment. Where any of it fails
    nothing changes: the last good Config stays in force everywhere, `last_error` says
    why, and each different error is logged once, to the logger `cqrs_fast`. What a
    file says that fails is tried again when the file changes, or by `load_config`.

    Making one reads nothing and starts nothing. All methods are safe to call from any
    thread, from callbacks too; they block for a reload, so an event loop calls
    `load_config` and `apply_to` before it serves, or in a thread. In a forked child
    the manager goes on with what it has, and watches only once it is told to again.

    Parameters:
        path: a JSON, TOML or YAML file, as for `load_config`; a relative one is taken
            from where the process is now.
        env_prefix: None, or the prefix of environment variables, as for
            `load_config_from_env`, which override the file at each reload.
        poll: seconds between two looks at the file while it is watched. What a look
            sees must be the same in the next one before it counts, so a change is
            applied after two polls at most; a part of a second where events tell of it.

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
            with suppress(ConfigError):  # only what is wrong with the prefix counts yet
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
        self._forget_threads()
        notify_of_forks(self)

    def _forget_threads(self) -> None:
        self._lock = threading.RLock()
        self._is_reloading = False
        self._watch: Watch | None = None

    def _after_fork(self) -> None:
        self._forget_threads()
        self._callbacks.after_fork()

    def __repr__(self) -> str:
        return f"<ConfigManager {self._path!r} version {self.version}>"

    # What is

    @property
    def path(self) -> str:
        """The file, as an absolute path; symbolic links are followed anew each time."""
        return self._path

    @property
    def config(self) -> Config:
        """The last good Config; the first use loads it, and may raise ConfigError."""
        config = self._state.config
        return self.load_config() if config is None else config

    @property
    def version(self) -> int:
        """How many different Configs came into force: 0 before the first."""
        return self._state.version

    @property
    def last_error(self) -> ConfigError | None:
        """Why the last reload failed; None where it did not."""
        return self._state.last_error

    @property
    def reloads(self) -> int:
        """How many reloads went well, whether they changed anything or not."""
        return self._state.reloads

    @property
    def failures(self) -> int:
        """How many reloads failed."""
        return self._state.failures

    @property
    def pending_restart(self) -> tuple[str, ...]:
        """The sorted keys whose values wait for a restart, such as a pool's size.

        Of the buses that follow: what they were made with is compared with `config`.
        """
        return self._state.pending_restart

    @property
    def is_watching(self) -> bool:
        """Whether the file is watched, by this process."""
        watch = self._watch
        return watch is not None and watch.is_running

    # What changes

    def load_config(self) -> Config:
        """Load the file now, apply it, and return the Config that is in force then.

        Tells the callbacks before it returns, unless another thread, or a callback
        that this is called from, is telling them already: that goes on with this
        change. Raises ConfigError where it fails; nothing has changed then.
        """
        with self._lock:
            config, logs = self._reload()
        _write(logs)
        self._callbacks.notify()
        if isinstance(config, ConfigError):
            raise config
        return config

    def apply_to(self, *buses: Bus) -> None:
        """Put `config` in force on buses now, and every later one at its reload.

        Keywords that a bus was given by `from_config`, middleware of its own and
        middleware that others added win over it. Buses are held weakly.

        Raises:
            ConfigError: it cannot be loaded, or a bus refuses it; none of the buses
                has changed then, and none follows.
            TypeError: an argument is no bus.
        """
        for bus in buses:
            if not isinstance(bus, CommandBus | QueryBus):
                raise TypeError(
                    f"expected a CommandBus or a QueryBus, got {shown(bus)}"
                )
        _ = self.config  # loaded here, where callbacks may be told
        with self._lock:
            # With those that follow already: some that waited for a restart are gone.
            keys = self._apply(self.config, (*self._buses, *buses))
            self._buses.update(buses)
            logs = self._restart_logs(set(keys))
        _write(logs)

    def on_change(self, callback: F) -> F:
        """Have `callback(old, new)` called after each change of `config`.

        Only where values differ: not for a file that was written again, nor for the
        first load. Callbacks are called one after the other, in the order in which
        they were given; after a reload of the watcher in a thread of their own. While
        one is slow, changes go on, and are told as one when it is done. What one
        raises is logged, and changes nothing.

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
        """Have a daemon thread watch the file from now on; return at once.

        What the file says by now is loaded too, where that is not in force. Does
        nothing where it watches already. The thread ends with `stop`, with the manager,
        and with the interpreter.
        """
        with self._lock:
            if not self.is_watching:
                self._watch = Watch(self._path, self._poll, self._take)

    def stop(self, timeout: float = 5.0) -> bool:
        """Stop watching; wait for what is under way, callbacks too.

        Parameters:
            timeout: seconds to wait at most, as for a callback that blocks.

        Returns whether all of it has ended, apart from what this is called from. May be
        called again, and `watch_config` after it.
        """
        until = time.monotonic() + seconds_or_zero("timeout", timeout) / 1e9
        # Not under the lock: a reload that is waited for has it.
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
        """Reload what the watcher saw; False where the file holds something else."""
        with self._lock:
            if content == self._taken:
                return True
            # A reload may have taken something newer since the watcher's look.
            if content != content_of(self._path):
                return False
            _, logs = self._reload()
        _write(logs)
        self._callbacks.notify_elsewhere()
        return True

    # One reload, under the lock

    def _reload(self) -> tuple[Config | ConfigError, list[_Log]]:
        """Load and apply; return the Config or its error, and what is to be logged."""
        if self._is_reloading:
            raise RuntimeError("a reload cannot be part of a reload")
        self._is_reloading = True
        try:
            try:
                config = self._read()
                return config, self._accept(config)
            except ConfigError as error:
                # Where a file and a variable do not go together, it names neither.
                error.path = error.path or self._path
                return error, self._note(error)
        except BaseException:
            # Interrupted: what was read may not be in force, so it counts as news.
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

    def _accept(self, config: Config) -> list[_Log]:
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
        logs: list[_Log] = []
        if changed:
            said = "%s: version %d of the configuration is in force"
            logs.append((LOGGER.info, said, (self._path, state.version + 1)))
        return logs + self._restart_logs(set(keys))

    def _apply(self, config: Config, buses: tuple[Bus, ...]) -> list[str]:
        try:
            return apply_config(config, buses)
        except ConfigError:
            raise
        except Exception as error:
            # Of a factory among the middleware, for example.
            raise ConfigError(
                f"a bus refused it: {type(error).__name__}: {error}", self._path
            ) from error

    def _note(self, error: ConfigError) -> list[_Log]:
        # A copy: the traceback of what is raised holds on to everything in the calls.
        kept = ConfigError(error.message, error.path, error.key, error.hint)
        self._state = self._state._replace(
            last_error=kept, failures=self._state.failures + 1
        )
        text = str(error)
        if text in self._logged:
            return []
        if len(self._logged) == MOST_ERRORS:
            self._logged.clear()
        self._logged.add(text)
        if self._state.config is None:
            said = "the configuration cannot be loaded, and none is in force: %s"
            return [(LOGGER.error, said, (text,))]
        said = "the configuration cannot be loaded; version %d stays in force: %s"
        return [(LOGGER.error, said, (self._state.version, text))]

    def _restart_logs(self, keys: set[str]) -> list[_Log]:
        """Remember what needs a restart; return what is to be logged of it."""
        new = sorted(keys.difference(self._state.pending_restart))
        self._state = self._state._replace(pending_restart=tuple(sorted(keys)))
        if not new:
            return []
        said = "%s: only a restart changes %s"
        return [(LOGGER.warning, said, (self._path, ", ".join(new)))]


_Log = tuple[Callable[..., None], str, tuple[object, ...]]


def _write(logs: list[_Log]) -> None:
    for log, text, arguments in logs:
        log(text, *arguments)
