"""Structural keys: messages and principals compared by type and content, typed.

A message whose fields are all plain (see key_values.h) is its own key. Any other is
frozen to a tuple that starts with its class, or it has no key. A mutable message is
frozen as it is now, by the fields that its class declares; it has no key if it holds
other attributes. Hashing and comparison of keys run no user code. Making a key may, if
the class has a `cache_key`.
"""

cimport cython
from libc.stdint cimport uint64_t

from cqrs_fast.validation.key_plan cimport KeyPlan


@cython.final
cdef class TypedKey:
    """A whole key, for a dict: hashable and comparable without user code."""

    cdef KeyPlan plan
    cdef object message_class       # keeps the plan's class alive
    cdef object key                 # a message that is its own key, or a frozen tuple
    cdef object scope               # frozen
    cdef uint64_t group             # the hash of class and fields …
    cdef uint64_t hash              # … and of the scope too


cdef TypedKey typed_key(
    KeyPlan plan, object key, object scope, uint64_t group, uint64_t hash
)

# Frozen values; Unkeyable for a value that cannot be frozen. `freeze_key` keys a
# message by another value than its fields.
cdef object freeze_value(object value)
cdef list freeze_values(object values)
cdef tuple freeze_message(KeyPlan plan, object message)
cdef tuple freeze_key(KeyPlan plan, object value)
# All fields of a message of any class, up to a mebibyte of containers.
cdef object fingerprint_of(KeyPlan plan, object message)
