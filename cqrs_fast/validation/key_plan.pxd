"""How the keys of one class of messages are made."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t


cdef enum Shape:
    OPAQUE = 0              # no key but that of cache_key()
    STRUCT = 1
    DECLARED = 2            # any other class with declared fields


@cython.final
cdef class KeyPlan:
    """How the keys of one class are made; its owner must keep the class alive."""

    cdef PyObject *cls              # borrowed
    cdef uint64_t seed, factor      # of the hashes, secret
    cdef Py_ssize_t *offsets        # of the fields; NULL: never its own key
    cdef int count
    cdef Shape shape
    cdef bint is_own                # an instance may be its own key
    cdef readonly bint cacheable    # unless the class says `cacheable = False`
    cdef bint has_cache_key
    cdef tuple names                # of the fields


# Secret start and factor of every hash: no client can make hashes collide.
cdef uint64_t SECRET, FACTOR

# The plan of a class; cached for as long as the class lives.
cdef KeyPlan plan_of(object cls)
# Whether a message has attributes beside its declared fields.
cdef bint holds_more(KeyPlan plan, object message) except -1
