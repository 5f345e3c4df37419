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


# The settings of the blocks that were not left, the newest last; the state of the
# collector before the first of them; whether nothing was frozen before.
_entered: dict[object, PerformanceConfig] = {}
_thresholds: tuple[int, int, int] = (0, 0, 0)
_enabled = True
_unfreezes = False
_lock = Lock()


class performance_tuning:
    """Apply the settings of the garbage collector for a block, then restore them.

    `with performance_tuning(config.performance): serve()`. Enter it when the service is
    warm: `gc_freeze` excludes the objects that exist then from later collections. These
    settings belong to the process, so building a bus never changes them.

    gc_percent: as Go's GOGC, in percent of the first threshold when the first block was
    entered (CPython's default is 700 new objects up to 3.12, 2000 from 3.13 on). 50
    collects twice as often, 1000 a tenth as often. -1 disables automatic collection:
    cycles are freed only at the end or by `gc.collect()`. 100 changes nothing. A
    disabled collector stays disabled.

    gc_freeze: collect once, then `gc.freeze()`. At the end of the last block with it
    comes `gc.unfreeze()`, unless something was frozen before.

    Blocks nest, may overlap in several threads, and one object may be entered again:
    the newest open block counts. When the last one is left, by an exception too, the
    collector gets its thresholds and its state from before the first. Raises TypeError
    for anything but a PerformanceConfig.
    """

    def __init__(self, performance: PerformanceConfig) -> None:
        if not isinstance(performance, PerformanceConfig):
            raise TypeError(
                "performance must be a PerformanceConfig, such as config.performance, "
                f"got {performance!r}"
            )
        self._performance = performance
        self._entries: list[object] = []

    def __enter__(self) -> None:
        global _thresholds, _enabled, _unfreezes
        performance = self._performance
        if performance.gc_freeze:
            gc.collect()  # without the lock: a collection may run any code
        with _lock:
            if not _entered:
                _thresholds, _enabled = gc.get_threshold(), gc.isenabled()
            if performance.gc_freeze:
                if not _is_frozen():
                    _unfreezes = gc.get_freeze_count() < MOST_OF_ITS_OWN
                gc.freeze()
            self._entries.append(object())
            _entered[self._entries[-1]] = performance
            _adjust()

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _lock:
            performance = _entered.pop(self._entries.pop())
            _adjust()
            if performance.gc_freeze and _unfreezes and not _is_frozen():
                gc.unfreeze()


def _is_frozen() -> bool:
    return any(performance.gc_freeze for performance in _entered.values())


def _adjust() -> None:
    """Apply the newest settings, or restore those from before the first."""
    newest = next(reversed(_entered.values()), None)
    percent = USUAL_PERCENT if newest is None else newest.gc_percent
    first, *others = _thresholds
    if percent != NEVER and first > 0:
        # The collector counts in an int of C; 0 would disable it.
        first = min(max(first * percent // 100, 1), 2**31 - 1)
    if (first, *others) != gc.get_threshold():
        gc.set_threshold(first, *others)
    wanted = _enabled and percent != NEVER
    if wanted != gc.isenabled():
        if wanted:
            gc.enable()
        else:
            gc.disable()
