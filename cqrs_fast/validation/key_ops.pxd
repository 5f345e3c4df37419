"""Keys of messages and scopes, compiled into the stages that make them. Open last."""

from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from cqrs_fast.validation.key_hash cimport hash_frozen, hash_message
from cqrs_fast.validation.key_plan cimport KeyPlan
from cqrs_fast.validation.key_values cimport KEY_BUDGET, KeyState, add_value
from cqrs_fast.validation.keys cimport freeze_message, freeze_value


# The key of a message, itself or a frozen tuple, and its hash.
cdef inline object key_of(KeyPlan plan, object message, uint64_t *hash):
    # hot: must not allocate for plain values
    if plan.is_own and hash_message(plan, <PyObject *>message, hash):
        return message
    key = freeze_message(plan, message)
    hash[0] = hash_frozen(<PyObject *>key, plan.seed, plan.factor)
    return key


# A principal or another scope, frozen; its hash continues `hash`.
cdef inline object scope_of(KeyPlan plan, object value, uint64_t *hash):
    # hot: must not allocate for plain values
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
