"""Structural keys: messages and principals compared by type and content, typed.

A message whose fields are all plain (see keys.h) is its own key. Any other is frozen to
a tuple that starts with its class, or it has no key. What can change is frozen as it is
now, by the fields that its class declares; where it holds more, it has no key. Neither
hashing nor comparing a key runs user code; making one may, where a class has a
`cache_key`.
"""

cimport cython
from cpython.object cimport Py_TYPE, PyObject
from libc.stdint cimport int64_t, uint64_t


cdef extern from "cqrs_fast/validation/keys.h":
    ctypedef struct KeyState "cqrs_key_state":
        uint64_t hash
        uint64_t factor
        int64_t budget
        int by_identity

    int KEY_BUDGET "CQRS_KEY_BUDGET"
    int KEY_ITEM "CQRS_KEY_ITEM"
    int KEY_DEPTH "CQRS_KEY_DEPTH"
    uint64_t mix "cqrs_mix"(uint64_t hash, uint64_t value, uint64_t factor) noexcept
    bint int_of_64_bits "cqrs_key_int"(PyObject *value, int64_t *number) noexcept
    bint add_value "cqrs_key_add"(
        PyObject *value, KeyState *state, int depth
    ) noexcept
    bint same_value "cqrs_key_same"(PyObject *one, PyObject *other) noexcept
    bint add_fields "cqrs_key_add_fields"(
        PyObject *message, const Py_ssize_t *offsets, int count, KeyState *state
    ) noexcept
    bint same_field_values "cqrs_key_same_fields"(
        PyObject *one, PyObject *other, const Py_ssize_t *offsets, int count
    ) noexcept


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


@cython.final
cdef class TypedKey:
    """A whole key, for a dict: hashable and comparable without user code."""

    cdef KeyPlan plan
    cdef object message_class       # keeps the plan's class alive
    cdef object key                 # a message that is its own key, or a frozen tuple
    cdef object scope               # frozen
    cdef uint64_t group             # the hash of class and fields …
    cdef uint64_t hash              # … and of the scope too


# The plan of a class; cached for as long as the class lives.
cdef KeyPlan plan_of(object cls)

# Frozen values; what cannot be frozen raises Unkeyable. `freeze_key` keys a message by
# another value than its fields.
cdef object freeze_value(object value)
cdef list freeze_values(object values)
cdef tuple freeze_message(KeyPlan plan, object message)
cdef tuple freeze_key(KeyPlan plan, object value)
# All fields of a message, of whatever class, up to a mebibyte of containers.
cdef object fingerprint_of(KeyPlan plan, object message)

cdef TypedKey typed_key(
    KeyPlan plan, object key, object scope, uint64_t group, uint64_t hash
)


# The hash of the fields of a message of the plan's class. False: not its own key.
cdef inline bint hash_message(KeyPlan plan, PyObject *message, uint64_t *hash) noexcept:
    # hot
    cdef KeyState state
    state.hash = plan.seed
    state.factor = plan.factor
    state.budget = KEY_BUDGET
    state.by_identity = False
    if not add_fields(message, plan.offsets, plan.count, &state):
        return False
    hash[0] = state.hash
    return True


# The hash of a frozen value, going on from another.
cdef inline uint64_t hash_frozen(
    PyObject *value, uint64_t hash, uint64_t factor
) noexcept:
    # hot
    cdef KeyState state
    state.hash = hash
    state.factor = factor
    # It was weighed when it was frozen.
    state.budget = (<int64_t>1) << 62
    state.by_identity = True
    add_value(value, &state, 0)
    return state.hash


# Whether a key is that of `key`, a message of the plan's class or a frozen tuple.
cdef inline bint same_key(KeyPlan plan, PyObject *key, PyObject *other) noexcept:
    # hot
    if key == other:
        return True
    if <PyObject *>Py_TYPE(<object>key) != <PyObject *>Py_TYPE(<object>other):
        return False
    if <PyObject *>Py_TYPE(<object>key) == plan.cls:
        return same_field_values(key, other, plan.offsets, plan.count)
    return same_value(key, other)


# The key of a message, itself or a frozen tuple, and its hash.
cdef inline object key_of(KeyPlan plan, object message, uint64_t *hash):
    # hot
    if plan.is_own and hash_message(plan, <PyObject *>message, hash):
        return message
    key = freeze_message(plan, message)
    hash[0] = hash_frozen(<PyObject *>key, plan.seed, plan.factor)
    return key


# A principal or another scope, frozen; its hash goes on from `hash`.
cdef inline object scope_of(KeyPlan plan, object value, uint64_t *hash):
    # hot
    cdef KeyState state
    state.hash = hash[0]
    state.factor = plan.factor
    state.budget = KEY_BUDGET
    state.by_identity = False
    if add_value(<PyObject *>value, &state, 0):
        hash[0] = state.hash
        return value
    frozen = freeze_value(value)
    hash[0] = hash_frozen(<PyObject *>frozen, hash[0], plan.factor)
    return frozen
