"""Wiring: what a config gave to a bus, and what single messages have instead."""

cimport cython

from cqrs_fast.assembly.builder cimport Handler
from cqrs_fast.base.sealing cimport internal

from cqrs_fast.config.tailoring import CACHING, asks_for_cache, found_of, tailored


@cython.final
cdef class Wiring:
    """What a config gave to a bus. Immutable once the bus has it."""

    cdef dict own_of(self, Handler handler, tuple middleware):
        """Return what the message of a handler has instead of what the bus has."""
        own = self.messages.get(handler.name, {})
        if self.standby and CACHING not in own and asks_for_cache(
            handler.message_class, middleware, handler.middleware
        ):
            return {**self.standby, **own}
        return own

    def fitted(self, Handler handler not None, tuple middleware, tuple elements):
        """Return the elements of the bus as one handler has them."""
        own = self.own_of(handler, middleware)
        if not own:
            return elements
        known = {id(one): element for one, element in zip(middleware, elements)}
        found = []
        for one in tailored(middleware, self.sections, self.own, own):
            element = known.get(id(one))
            if element is None:
                element = self.substitutes.get(id(one), one)
            found.append(element)
        return tuple(found)

    def unknown(self, dict handlers not None):
        """Return the names of messages that no handler has, sorted."""
        return tuple(sorted(self.messages.keys() - handlers.keys()))

    def stages_beside(self, dict handlers not None, tuple middleware not None):
        """Return the middleware of single messages, of those that have a handler."""
        cdef Handler handler
        found = []
        for handler in handlers.values():
            own = self.own_of(handler, middleware)
            found += found_of(own, own)
        return [stage for stage in found if stage is not None]


cdef Wiring new_wiring(object made_with, frozenset overrides, tuple own):
    cdef Wiring wiring = Wiring.__new__(Wiring)
    wiring.made_with = made_with
    wiring.overrides = overrides
    wiring.own = own
    wiring.sections, wiring.standby = {}, {}
    wiring.messages, wiring.substitutes = {}, {}
    return wiring


internal(Wiring)
