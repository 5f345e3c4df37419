"""Whether a message may be handled twice, and since when that takes."""

from cpython.ref cimport PyObject

from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.pipeline.route cimport Route


cdef bint may_be_repeatable(object cls) except -1:
    if is_idempotent(cls) or hasattr(cls, "idempotency_key"):
        return True
    # A dataclass keeps no attribute for a field without a default.
    for base in getattr(cls, "__mro__", ()):
        if "idempotency_key" in vars(base).get("__annotations__", ()):
            return True
    return False


cdef bint is_repeatable(Frame *f) except -1:
    if (<Route>f.route).kind != "command":
        return True
    message = <object>f.message
    try:
        return is_idempotent(type(message)) or (
            getattr(message, "idempotency_key", None) is not None
        )
    except Exception:
        # Users' code that cannot tell: once is safe.
        pass
    return False


cdef bint is_idempotent(object cls) except -1:
    return getattr(cls, "idempotent", None) is True


cdef int64_t way_in_ns(Frame *f, Clock clock) except? -1:
    cdef PyObject *own = NULL if clock is None else <PyObject *>clock
    if own == f.bus_clock and (<Route>f.route).reads_clock:
        return f.now_ns
    return read_clock(clock)
