# cython: language_level=3
"""A middleware of one's own, compiled: copy this file and change what it decides.

A stage decides and never waits: the drivers do, so it serves sync and async dispatch
alike. One object serves many routes, threads and event loops. `cqrs_fast/pipeline/`
has the contract: `stage.pxd` what a stage may say, `frame.pxd` what it may look at.
"""

from libc.stdint cimport int64_t

from cqrs_fast.pipeline cimport PROCEED, STOP, Frame, RouteSpec, Stage, set_error

from cqrs_fast import RejectedError


cdef class QuotaMiddleware(Stage):
    """Admit so many dispatches that fail or take long, then reject all of them.

    Parameters:
        most: how many; `update` changes it.
        seconds: what takes more counts as one that failed.
    """

    cdef int64_t most, left, too_long_ns

    def __cinit__(self):
        # Its flags: what it needs of the frame. Each costs only those who set it.
        self.reads_clock = self.reads_end = self.has_slot = True

    def __init__(self, most, *, seconds=1.0):
        if most < 1:
            raise ValueError(f"most must be 1 or more, got {most!r}")
        self.most = self.left = most
        self.too_long_ns = round(seconds * 1e9)

    def settings(self):
        """Return what `bus.describe()` shows: the parameters by name."""
        return {"most": self.most, "seconds": self.too_long_ns / 1e9}

    cdef Stage for_route(self, RouteSpec spec):
        # Where it can never act it costs nothing.
        return None if spec.name == "Ping" else self

    cdef int enter(self, Frame *f) except -1:
        # On the way in: PROCEED, STOP with an outcome in the frame, WAIT or AWAIT.
        if self.left == 0:
            set_error(f, RejectedError(None, "QuotaMiddleware"))
            return STOP
        f.slot.a = f.now_ns     # what belongs to one dispatch goes to its slot
        return PROCEED

    cdef int leave(self, Frame *f) except -1:
        # On the way out, once for each PROCEED: the same but STOP, or AGAIN: a new pass.
        if f.error != NULL or f.now_ns - f.slot.a > self.too_long_ns:
            self.left = max(self.left - 1, 0)
        return PROCEED

    cdef object observed(self):
        return self.left        # what `stats()` and `bus.stats()` show

    # Live change: Stage.update checks new settings by making another one of this class.
    cdef dict changeable(self):
        return {"most": self.most}

    cdef int exchange(self, Stage new) noexcept:
        self.left = max(self.left + (<QuotaMiddleware>new).most - self.most, 0)
        self.most = (<QuotaMiddleware>new).most
        return 0
