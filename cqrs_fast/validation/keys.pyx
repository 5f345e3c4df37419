"""Structural keys: frozen values, hashed and compared by type and content."""

import datetime
import decimal
import uuid
from enum import Enum, Flag
from operator import itemgetter

from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from cqrs_fast.base.sealing cimport internal
from cqrs_fast.validation.key_hash cimport hash_frozen, hash_message, same_key
from cqrs_fast.validation.key_plan cimport (
    FACTOR, OPAQUE, SECRET, KeyPlan, holds_more, plan_of,
)
from cqrs_fast.validation.key_values cimport (
    KEY_BUDGET, KEY_DEPTH, KEY_ITEM, int_of_64_bits, same_value,
)

import msgspec

from cqrs_fast.validation.scalars import DATE, DATETIME, TIME, TIMEDELTA

cdef object BY_HASH = itemgetter(0)


class Unkeyable(TypeError):
    """No key can be made of a value."""


cdef object freeze_value(object value):
    cdef int64_t budget = KEY_BUDGET
    return freeze(value, 0, &budget)


cdef list freeze_values(object values):
    cdef list frozen = []
    for value in values:
        frozen.append(freeze_value(value))
    return frozen


cdef tuple freeze_message(KeyPlan plan, object message):
    cdef int64_t budget = KEY_BUDGET
    if plan.has_cache_key:
        return (<object>plan.cls, freeze(message.cache_key(), 0, &budget))
    if plan.shape == OPAQUE:
        raise unkeyable(message)
    return freeze_fields(plan, message, 0, &budget)


cdef tuple freeze_key(KeyPlan plan, object value):
    return (<object>plan.cls, freeze_value(value))


cdef object fingerprint_of(KeyPlan plan, object message):
    cdef uint64_t unused
    cdef int64_t budget = 1 << 20
    if plan.offsets != NULL and hash_message(plan, <PyObject *>message, &unused):
        return message
    if plan.shape != OPAQUE and not holds_more(plan, message):
        return freeze_fields(plan, message, 0, &budget)
    fields = getattr(message, "__dict__", None)
    if type(fields) is not dict:
        raise unkeyable(message)
    declared = declared_fields(plan, message, 0, &budget)
    return declared + (freeze(fields, 0, &budget),)


cdef object unkeyable(object value):
    return Unkeyable(f"no key can be made of a {type(value).__name__}")


cdef tuple freeze_fields(KeyPlan plan, object value, int depth, int64_t *budget):
    if holds_more(plan, value):
        raise unkeyable(value)
    return declared_fields(plan, value, depth, budget)


cdef tuple declared_fields(KeyPlan plan, object value, int depth, int64_t *budget):
    cdef list frozen = [<object>plan.cls]
    for name in plan.names:
        frozen.append(freeze(getattr(value, name), depth, budget))
    return tuple(frozen)


cdef object freeze(object value, int depth, int64_t *budget):
    """Freeze one value; `depth` counts the containers around it, 0 for a field."""
    cdef int64_t number
    cls = type(value)
    if depth > 0:
        spend(budget, KEY_ITEM)
    if cls is str or cls is bytes:
        if depth > 0:
            spend(budget, len(value))
        return value
    if cls is int:
        if int_of_64_bits(<PyObject *>value, &number):
            return value
        size = value.bit_length() // 8 + 1
        if depth > 0:
            spend(budget, size)
        return (int, value.to_bytes(size, "little", signed=True))
    if value is None or cls is bool:
        return value
    if cls is float:
        if PyFloat_AS_DOUBLE(value) != PyFloat_AS_DOUBLE(value):
            raise unkeyable(value)
        return value
    if cls is tuple or cls is list or cls is dict or cls is set or cls is frozenset:
        return freeze_container(value, cls, depth, budget)
    return freeze_object(value, cls, depth, budget)


cdef int spend(int64_t *budget, Py_ssize_t weight) except -1:
    budget[0] -= weight
    if budget[0] < 0:
        raise Unkeyable(f"a key holds at most {KEY_BUDGET} bytes in its containers")
    return 0


cdef int require_depth(int depth) except -1:
    if depth >= KEY_DEPTH:
        raise Unkeyable(f"a key is at most {KEY_DEPTH} containers deep")
    return 0


cdef tuple freeze_container(object value, object cls, int depth, int64_t *budget):
    """Freeze a container; sets and dicts are sorted by hash."""
    cdef list items = []
    require_depth(depth)
    if len(value) * KEY_ITEM > budget[0]:
        spend(budget, len(value) * KEY_ITEM)
    # Of a copy: a user's cache_key or enum may change the container.
    if cls is dict:
        for name, item in list(value.items()):
            frozen = freeze(name, depth + 1, budget)
            items.append((hash_of(frozen), (frozen, freeze(item, depth + 1, budget))))
    else:
        for item in tuple(value):
            frozen = freeze(item, depth + 1, budget)
            items.append((hash_of(frozen), frozen))
    if cls is not tuple and cls is not list:
        items.sort(key=BY_HASH)
    items = [frozen for _, frozen in items]
    return tuple(items) if cls is tuple else (cls, *items)


cdef object hash_of(object frozen):
    return hash_frozen(<PyObject *>frozen, SECRET, FACTOR)


cdef object freeze_object(object value, object cls, int depth, int64_t *budget):
    cdef KeyPlan plan
    if cls is uuid.UUID:
        return (cls, value.bytes)
    if cls is DATETIME or cls is datetime.datetime:
        return (DATETIME, value.toordinal()) + clock_fields(value)
    if cls is DATE or cls is datetime.date:
        return (DATE, value.toordinal())
    if cls is TIME:
        return (cls, *clock_fields(value))
    if cls is TIMEDELTA:
        return (cls, value.days, value.seconds, value.microseconds)
    if cls is decimal.Decimal:
        if value.is_nan():
            raise unkeyable(value)
        # Not by value: 1.0 and 1.00 are equal, but a handler may distinguish them.
        text = str(value)
        spend(budget, len(text))
        return (cls, text)
    # By its true class: a Mock only claims to be a member.
    if issubclass(cls, Enum):
        # Combinations of flags are made on demand; members live as long as the class.
        if issubclass(cls, Flag):
            require_depth(depth)
            return (cls, freeze(value._value_, depth + 1, budget))
        return value
    if value is msgspec.UNSET:
        return value
    plan = plan_of(cls)
    if plan.shape == OPAQUE:
        raise unkeyable(value)
    require_depth(depth)
    return freeze_fields(plan, value, depth + 1, budget)


cdef tuple clock_fields(object value):
    time = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    return time + (zone(value.tzinfo),)


cdef object zone(object tzinfo):
    """Freeze a zone: equal moments in different zones are different keys."""
    if tzinfo is None:
        return None
    if type(tzinfo) is datetime.timezone:
        offset = tzinfo.utcoffset(None)
        name = tzinfo.tzname(None)
        parts = (offset.days, offset.seconds, offset.microseconds)
        return (datetime.timezone, *parts, name)
    from zoneinfo import ZoneInfo

    if type(tzinfo) is not ZoneInfo or tzinfo.key is None:
        raise unkeyable(tzinfo)
    return (ZoneInfo, tzinfo.key)


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
    """Return the plan of a class: (is its own key, cacheable, field names)."""
    cdef KeyPlan plan = plan_of(cls)
    return plan.is_own, plan.cacheable, plan.names


def message_key(message, scope=None):
    """Return the typed key of a message in a scope; Unkeyable if it has none."""
    cdef uint64_t group = 0
    cdef KeyPlan plan = plan_of(type(message))
    key, frozen = message, freeze_value(scope)
    if not (plan.is_own and hash_message(plan, <PyObject *>message, &group)):
        key = freeze_message(plan, message)
        group = hash_frozen(<PyObject *>key, plan.seed, plan.factor)
    full = hash_frozen(<PyObject *>frozen, group, plan.factor)
    return typed_key(plan, key, frozen, group, full)


internal(TypedKey)
