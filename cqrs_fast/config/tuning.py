"""performance_tuning: the process-wide settings of a PerformanceConfig, and back."""

from __future__ import annotations

import gc
from threading import Lock
from types import TracebackType

from cqrs_fast.config.model import PerformanceConfig

USUAL_PERCENT = 100
NEVER = -1
# What a fresh interpreter has frozen itself: a few hundred objects in 3.12, else none.
MOST_OF_ITS_OWN = 1_000


class _Entry:
    """One time that a block was entered."""

    def __init__(self, performance: PerformanceConfig) -> None:
        self.percent = performance.gc_percent
        self.freezes = performance.gc_freeze


# The entries that have not been left, the newest last; what the collector was set to
# before the first of them; whether nothing was frozen before the first that freezes.
_entered: list[_Entry] = []
_thresholds: tuple[int, int, int] = (0, 0, 0)
_enabled = True
_unfreezes = False
_lock = Lock()


class performance_tuning:
    """Apply the settings of the garbage collector for a block, and take them back.

    `with performance_tuning(config.performance): serve()`. Enter it once the service is
    warm: what exists then is what `gc_freeze` keeps out of every later collection.
    These settings belong to the process, so building a bus never touches them.

    gc_percent: as Go's GOGC, in percent of the first threshold that was set when the
    first block was entered (CPython's own unless somebody changed it: 700 new objects
    up to 3.12, 2000 from 3.13 on). 50 collects twice as often, 1000 a tenth as often;
    -1 switches automatic collection off, so that cycles are never freed until the end
    or a `gc.collect()`. 100 leaves it as it is. A collector that was off stays off.

    gc_freeze: collect once, then `gc.freeze()`. At the end of the last block with it
    `gc.unfreeze()` gives everything back, unless something was frozen before.

    Blocks nest, may overlap in several threads, and one object may be entered again:
    the newest block that was not left counts. When the last one is left, by an
    exception too, thresholds and whether the collector is on are what they were before
    the first. Raises TypeError for anything but a PerformanceConfig.
    """

    def __init__(self, performance: PerformanceConfig) -> None:
        if not isinstance(performance, PerformanceConfig):
            raise TypeError(
                "performance must be a PerformanceConfig, such as config.performance, "
                f"got {performance!r}"
            )
        self._performance = performance
        self._entries: list[_Entry] = []

    def __enter__(self) -> None:
        global _thresholds, _enabled, _unfreezes
        entry = _Entry(self._performance)
        if entry.freezes:
            # Outside of the lock: a collection may run any code.
            gc.collect()
        with _lock:
            if not _entered:
                _thresholds, _enabled = gc.get_threshold(), gc.isenabled()
            if entry.freezes:
                if not _frozen():
                    _unfreezes = gc.get_freeze_count() < MOST_OF_ITS_OWN
                gc.freeze()
            _entered.append(entry)
            self._entries.append(entry)
            _adjust()

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _lock:
            entry = self._entries.pop()
            _entered.remove(entry)
            _adjust()
            if entry.freezes and _unfreezes and not _frozen():
                gc.unfreeze()


def _frozen() -> bool:
    return any(entry.freezes for entry in _entered)


def _adjust() -> None:
    """Set the collector as the newest entry says, or as it was before the first."""
    percent = _entered[-1].percent if _entered else USUAL_PERCENT
    first, *others = _thresholds
    if percent != NEVER and first > 0:
        # The collector counts in an int of C; 0 would switch it off.
        first = min(max(first * percent // 100, 1), 2**31 - 1)
    if (first, *others) != gc.get_threshold():
        gc.set_threshold(first, *others)
    wanted = _enabled and percent != NEVER
    if wanted != gc.isenabled():
        if wanted:
            gc.enable()
        else:
            gc.disable()
