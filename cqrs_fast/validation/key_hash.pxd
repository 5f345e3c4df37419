"""Hash and equality of keys, compiled into the caches. Open last."""

from cpython.object cimport Py_TYPE, PyObject
from libc.stdint cimport int64_t, uint64_t

from cqrs_fast.validation.key_plan cimport KeyPlan
from cqrs_fast.validation.key_values cimport (
    KEY_BUDGET, KeyState, add_fields, add_value, same_field_values, same_value,
)


# The hash of the fields of a message of the plan's class. False: not its own key.
cdef inline bint hash_message(KeyPlan plan, PyObject *message, uint64_t *hash) noexcept:
    # hot: must not allocate for plain values
    cdef KeyState state
    state.hash = plan.seed
    state.factor = plan.factor
    state.budget = KEY_BUDGET
    state.by_identity = False
    if not add_fields(message, plan.offsets, plan.count, &state):
        return False
    hash[0] = state.hash
    return True


# The hash of a frozen value, continued from another.
cdef inline uint64_t hash_frozen(
    PyObject *value, uint64_t hash, uint64_t factor
) noexcept:
    # hot: must not allocate for plain values
    cdef KeyState state
    state.hash = hash
    state.factor = factor
    # Its size was checked when it was frozen.
    state.budget = (<int64_t>1) << 62
    state.by_identity = True
    add_value(value, &state, 0)
    return state.hash


# Whether a key is that of `key`, a message of the plan's class or a frozen tuple.
cdef inline bint same_key(KeyPlan plan, PyObject *key, PyObject *other) noexcept:
    # hot: must not allocate for plain values
    if key == other:
        return True
    if <PyObject *>Py_TYPE(<object>key) != <PyObject *>Py_TYPE(<object>other):
        return False
    if <PyObject *>Py_TYPE(<object>key) == plan.cls:
        return same_field_values(key, other, plan.offsets, plan.count)
    return same_value(key, other)
