"""How the keys of one class of messages are made."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t


cdef enum Shape:
    OPAQUE = 0              # no key but what cache_key() gives
    STRUCT = 1
    DATACLASS = 2           # a frozen one
    CHANGEABLE = 3          # fields are declared, by whatever library


@cython.final
cdef class KeyPlan:
    """How the keys of one class are made. Whoever keeps it keeps the class too."""

    cdef PyObject *cls              # borrowed
    cdef uint64_t seed, factor      # of the hashes, secret
    cdef Py_ssize_t *offsets        # of the fields; NULL: never its own key
    cdef int count
    cdef Shape shape
    cdef bint is_own                # an instance may be its own key
    cdef readonly bint cacheable    # the class does not say `cacheable = False`
    cdef bint has_cache_key
    cdef tuple names                # of the fields


# What every hash begins with and is multiplied by: nobody outside may choose values
# whose hashes meet.
cdef uint64_t SECRET, FACTOR

# The plan of a class; cached for as long as the class lives.
cdef KeyPlan plan_of(object cls)
# Whether something has attributes beside its declared fields.
cdef bint holds_more(KeyPlan plan, object message) except -1
