"""Callbacks learn of each new Config, one at a time, and delay nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.config.model import Config

Callback = Callable[[Config, Config], object]


class ChangeCallbacks:
    """Call callbacks whenever the Config in force differs from the last reported one.

    One thread notifies at a time. Changes that come during this are reported next, as
    one change. Safe to use from any thread, and from the callbacks.

    Parameters:
        name: of what changes, for the report of a callback that raises.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._callbacks: tuple[Callback, ...] = ()
        self._now: Config | None = None
        self._reported: Config | None = None
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the other threads, in a child that was forked."""
        self._lock = threading.Lock()
        self._notifier: threading.Thread | None = None  # the thread that notifies
        self._own: threading.Thread | None = None  # the same if started here

    def add(self, callback: Callback) -> None:
        with self._lock:
            self._callbacks = (*self._callbacks, callback)

    def note(self, config: Config) -> None:
        """Take what is in force now; the first Config is no change."""
        with self._lock:
            if self._now is None:
                self._reported = config
            self._now = config

    def notify(self) -> None:
        """Notify here, unless another call notifies already."""
        with self._lock:
            if self._notifier is not None:
                return
            self._notifier = threading.current_thread()
        self._notify_all()

    def notify_elsewhere(self) -> None:
        """Notify in a new thread, if there is anything to report."""
        with self._lock:
            if self._notifier or not self._callbacks or self._reported == self._now:
                return
            self._own = threading.Thread(
                target=self._notify_all, name="cqrs_fast config callbacks", daemon=True
            )
            self._own.start()
            self._notifier = self._own

    def wait(self, seconds: float) -> bool:
        """Wait until such a thread has ended; return whether it has.

        Inside a callback that it calls, return True at once.
        """
        own = self._own
        if own is None or own is threading.current_thread():
            return True
        own.join(seconds)
        return not own.is_alive()

    def _notify_all(self) -> None:
        try:
            while change := self._next():
                old, new, callbacks = change
                for callback in callbacks:
                    try:
                        callback(old, new)
                    except Exception as error:
                        report_callback_error("on_change", self._name, error)
        finally:
            with self._lock:
                if self._notifier is threading.current_thread():
                    self._notifier = None

    def _next(self) -> tuple[Config, Config, tuple[Callback, ...]] | None:
        with self._lock:
            old, new = self._reported, self._now
            self._reported = new
            if old is not None and new is not None and old != new:
                return old, new, self._callbacks
            # Under the same lock as the comparison: a later `note` finds no notifier.
            self._notifier = None
            return None
