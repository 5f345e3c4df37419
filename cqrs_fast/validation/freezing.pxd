"""Freeze values to what a key can hold."""

from cqrs_fast.validation.key_plan cimport KeyPlan


# Frozen values; what cannot be frozen raises Unkeyable. `freeze_key` keys a message by
# another value than its fields.
cdef object freeze_value(object value)
cdef list freeze_values(object values)
cdef tuple freeze_message(KeyPlan plan, object message)
cdef tuple freeze_key(KeyPlan plan, object value)
# All fields of a message, of whatever class, up to a mebibyte of containers.
cdef object fingerprint_of(KeyPlan plan, object message)
