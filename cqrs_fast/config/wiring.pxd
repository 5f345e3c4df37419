"""Wiring: what a config gave to a bus, and what single messages have instead."""

from cqrs_fast.assembly.builder cimport Handler


cdef class Wiring:
    """What a config gave to a bus. Immutable once the bus has it."""

    cdef object made_with       # the Config of what only a restart changes
    cdef frozenset overrides    # keywords of the constructor that win over a config
    cdef tuple own              # middleware of the user
    cdef dict sections          # section -> (arguments, middleware)
    cdef dict standby           # the same of what only classes that ask for it have
    cdef dict messages          # name of a message -> the same of what it alone has
    cdef dict substitutes       # while a reload builds: id of a stage -> its Revision
    cdef dict metrics           # kept while metrics are disabled

    # What the message of a handler has instead of what the bus has.
    cdef dict own_of(self, Handler handler, tuple middleware)


# Without any middleware yet.
cdef Wiring new_wiring(object made_with, frozenset overrides, tuple own)
