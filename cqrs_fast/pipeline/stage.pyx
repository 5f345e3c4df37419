"""Stage: the form every middleware compiles to. It decides; the driver waits."""

cimport cython

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.pipeline.frame cimport PROCEED, Frame


@cython.final
@cython.auto_pickle(False)
cdef class RouteSpec:
    """What a stage may know of the route it is built into."""

    def __init__(self, str name not None, message_class, str kind, bint is_async,
                 Clock clock=None):
        self.name = name
        self.message_class = self.message_type = message_class
        self.kind = kind
        self.is_async = is_async
        self.clock = clock


@cython.auto_pickle(False)
cdef class Stage:
    """The base of compiled middleware; subclass it in Cython with a `cdef class`.

    Override `enter` and `leave` (see stage.pxd). One stage may serve many routes,
    threads and event loops at once: what belongs to one dispatch goes to `f.slot`.
    """

    cdef int enter(self, Frame *f) except -1:
        return PROCEED

    cdef int leave(self, Frame *f) except -1:
        return PROCEED

    cdef Stage for_route(self, RouteSpec spec):
        return self

    cdef tuple described(self):
        return type(self).__name__, self.settings()

    cdef object observed(self):
        return None

    cdef Revision revise(self, dict settings):
        return None

    def settings(self):
        """Return the settings that `bus.describe()` shows for this stage, as a dict."""
        return {}


@cython.auto_pickle(False)
cdef class Revision(Stage):
    """New settings for a stage that keeps its state, checked and not in effect yet."""

    cdef int apply(self) noexcept:
        return 0

    cdef int settle(self) except -1:
        return 0


constructed(RouteSpec)
