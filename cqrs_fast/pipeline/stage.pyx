"""Stage: the form every middleware compiles to. It decides; the driver waits."""

cimport cython

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.pipeline.frame cimport PROCEED, Frame

from cqrs_fast.base.naming import check_settings
from cqrs_fast.base.shown_settings import settings_text


@cython.final
cdef class RouteSpec:
    """What a stage may know of the route it is built into."""

    def __init__(self, str name not None, message_class, str kind, bint is_async,
                 Clock clock=None):
        self.name = name
        self.message_class = self.message_type = message_class
        self.kind = kind
        self.is_async = is_async
        self.clock = clock


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

    cdef dict changeable(self):
        return None

    cdef int succeed(self, Stage old) except -1:
        return 0

    cdef bint is_replaced(self) noexcept:
        return False

    cdef Stage serve(self, RouteSpec spec, Stage new):
        return self.for_route(spec)

    cdef int check_built(self, Stage new) except -1:
        return 0

    cdef int exchange(self, Stage new) noexcept:
        return 0

    cdef int settle(self, Stage old) except -1:
        return 0

    cdef Revision revise(self, dict settings):
        cdef Revision revision = Revision.__new__(Revision)
        revision.version = self.version
        cdef dict known = self.changeable()
        if known is None:
            return None
        check_settings(type(self).__name__, settings, known)
        revision.old = self
        revision.new = type(self)(**{**known, **settings})
        revision.new.succeed(self)
        revision.stage = revision.new if self.is_replaced() else self
        return revision

    def update(self, **settings):
        """Change settings in place, all or none of them; the state stays.

        Takes the parameters of the constructor by name; the class tells what a change
        means to what has begun. Raises as the constructor does, TypeError for a setting
        that cannot change, and ValueError where the pipelines of a bus were built in a
        way that cannot follow. Safe to call from any thread.
        """
        cdef Revision new
        while True:
            new = self.revise(settings)
            if new is None:
                raise TypeError(
                    f"{type(self).__name__} has no settings that change in place: put "
                    "another one in its place"
                )
            self.check_built(new.new)
            # Again, if another change came between: it must not be undone.
            if new.is_current():
                break
        new.apply_to_old()
        self.settle(new.new)

    def settings(self):
        """Return the settings that `bus.describe()` shows for this stage, as a dict."""
        return {}

    def __repr__(self):
        return settings_text(type(self), self.settings())

    def stats(self):
        """Return what it has counted, a frozen struct; None if it keeps no state."""
        return self.observed()

    def snapshot(self):
        """Return the same as `stats()`."""
        return self.stats()


@cython.final
cdef class Revision(Stage):
    """New settings for a stage that keeps its state, checked and not in effect yet."""

    cdef Stage for_route(self, RouteSpec spec):
        return self.old.serve(spec, self.new)

    cdef bint is_current(self) noexcept:
        return self.version == self.old.version

    cdef int apply(self) noexcept:
        return self.apply_to_old() if self.stage is self.old else 0

    cdef int apply_to_old(self) noexcept:
        self.old.version += 1
        return self.old.exchange(self.new)

    cdef int finish(self) except -1:
        return self.stage.settle(self.new)


constructed(RouteSpec)
internal(Revision)
