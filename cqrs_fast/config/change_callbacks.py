"""Telling: callbacks hear of each new Config, one at a time, and hold up nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.config.model import Config

Callback = Callable[[Config, Config], object]


class ChangeCallbacks:
    """Tells callbacks of the Config that is in force, whenever it differs.

    One thread tells at a time, the teller; what changes meanwhile it tells next, as one
    change. Safe to use from any thread, and from the callbacks.

    Parameters:
        name: of what changes, for the report of a callback that raises.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._callbacks: tuple[Callback, ...] = ()
        self._now: Config | None = None
        self._told: Config | None = None
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the other threads, in a child that was forked."""
        self._lock = threading.Lock()
        self._teller: threading.Thread | None = None

    def add(self, callback: Callback) -> None:
        with self._lock:
            self._callbacks = (*self._callbacks, callback)

    def note(self, config: Config) -> None:
        """Take what is in force now, to be told; the first is no change."""
        with self._lock:
            if self._now is None:
                self._told = config
            self._now = config

    def notify(self) -> None:
        """Tell what is to be told here, unless somebody is telling already."""
        with self._lock:
            if self._teller is not None:
                return
            self._teller = threading.current_thread()
        self._notify_all()

    def notify_elsewhere(self) -> None:
        """Have a thread of its own tell what is to be told, if there is anything."""
        with self._lock:
            if self._teller is None and self._callbacks and self._told != self._now:
                teller = _Teller(self._notify_all)
                teller.start()
                self._teller = teller

    def wait(self, seconds: float) -> bool:
        """Wait until such a thread has ended; return whether that is so.

        Inside of a callback that it calls it returns at once, with True.
        """
        teller = self._teller
        if not isinstance(teller, _Teller) or teller is threading.current_thread():
            return True
        teller.join(seconds)
        return not teller.is_alive()

    def _notify_all(self) -> None:
        try:
            while news := self._next():
                old, new, callbacks = news
                for callback in callbacks:
                    try:
                        callback(old, new)
                    except Exception as error:
                        report_callback_error("on_change", self._name, error)
        finally:
            with self._lock:
                if self._teller is threading.current_thread():
                    self._teller = None

    def _next(self) -> tuple[Config, Config, tuple[Callback, ...]] | None:
        with self._lock:
            old, new = self._told, self._now
            self._told = new
            if old is not None and new is not None and old != new:
                return old, new, self._callbacks
            # In one step with the look: what is noted later finds no teller.
            self._teller = None
            return None


class _Teller(threading.Thread):
    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__(target=tell, name="cqrs_fast config callbacks", daemon=True)
