"""Structural keys: messages and principals compared by type and content, typed."""

from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from cqrs_fast.base.sealing cimport internal
from cqrs_fast.validation.key_hash cimport same_key
from cqrs_fast.validation.key_ops cimport key_of, scope_of
from cqrs_fast.validation.key_plan cimport KeyPlan, plan_of
from cqrs_fast.validation.key_values cimport same_value


cdef class TypedKey:
    def __hash__(self):
        return <Py_hash_t>self.hash

    def __eq__(self, other):
        cdef TypedKey second
        if type(other) is not TypedKey:
            return NotImplemented
        second = other
        return (
            self.hash == second.hash
            and same_key(self.plan, <PyObject *>self.key, <PyObject *>second.key)
            and same_value(<PyObject *>self.scope, <PyObject *>second.scope)
        )


cdef TypedKey typed_key(
    KeyPlan plan, object key, object scope, uint64_t group, uint64_t hash
):
    cdef TypedKey made = TypedKey.__new__(TypedKey)
    made.plan = plan
    made.message_class = <object>plan.cls
    made.key = key
    made.scope = scope
    made.group = group
    made.hash = hash
    return made


def plan_info(cls):
    """Return what is known of a class: (own key, cacheable, field names)."""
    cdef KeyPlan plan = plan_of(cls)
    return plan.is_own, plan.cacheable, plan.names


def message_key(message, scope=None):
    """Return the typed key of a message in a scope; raise Unkeyable without one."""
    cdef uint64_t group = 0, full
    cdef KeyPlan plan = plan_of(type(message))
    key = key_of(plan, message, &group)
    full = group
    frozen = scope_of(plan, scope, &full)
    return typed_key(plan, key, frozen, group, full)


internal(TypedKey)
