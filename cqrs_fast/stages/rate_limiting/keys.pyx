"""Keys: what a dispatch has a bucket by."""

from cpython.object cimport PyObject

from cqrs_fast.base.calling cimport is_awaitable
from cqrs_fast.pipeline.frame_ops cimport frame_context, seen_context

from cqrs_fast.base.promises import promise_error

# The default of `scope`: no scope is accepted beside a key.
NOT_GIVEN = object()

cdef str INSTEAD = "return the key from a plain function (ctx, message)"


cdef str checked_scope(object scope, object function):
    if function is not None:
        if scope is not NOT_GIVEN:
            raise TypeError("pass either key or scope: a key says what has a bucket")
        return "key"
    if scope is NOT_GIVEN:
        return "bus"
    if not isinstance(scope, str) or scope not in ("bus", "principal"):
        raise TypeError(f"scope must be 'bus' or 'principal', got {scope!r}")
    return scope


cdef object key_in(Frame *f, object function):
    if function is None:
        return seen_context(f).state.principal
    key = function(frame_context(f), <object>f.message)
    if is_awaitable(<PyObject *>key):
        raise promise_error("key", key, INSTEAD)
    return key


cdef Bucket find_bucket(TokenBucket tokens, object key, int64_t now_ns, str scope):
    try:
        return tokens.find(key, now_ns)
    except TypeError:
        check_hashable(key, scope)
        raise


cdef int check_hashable(object key, str scope) except -1:
    # Named by its type: a key may tell who somebody is.
    try:
        hash(key)
    except TypeError:
        what = "key must return what can be hashed"
        if scope == "principal":
            what = "the principal must be hashable"
        raise TypeError(f"{what}, got a {type(key).__name__}") from None
    return 0
