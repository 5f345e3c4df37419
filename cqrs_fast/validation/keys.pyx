"""Structural keys: messages and principals compared by type and content, typed."""

import datetime
import decimal
import uuid
from enum import Enum, Flag
from functools import cached_property
from operator import attrgetter, itemgetter
from os import urandom
from types import MemberDescriptorType
from weakref import ref

from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t, uintptr_t

from cqrs_fast.base.sealing cimport internal

import msgspec

from cqrs_fast.validation.checks import DATE, DATETIME, TIME, TIMEDELTA

cdef extern from "structmember.h":
    ctypedef struct PyMemberDef:
        int type
        Py_ssize_t offset
    ctypedef struct PyMemberDescrObject:
        PyMemberDef* d_member
    int T_OBJECT_EX

# Nobody outside may choose values whose hashes meet.
cdef uint64_t SECRET = int.from_bytes(urandom(8), "little")
cdef uint64_t FACTOR = int.from_bytes(urandom(8), "little") | 1

cdef str EXTRA = "__pydantic_extra__"      # attributes that are no fields, or None
cdef int HEAP_TYPE = 1 << 9                 # of type.__flags__: not written in C
cdef object BY_HASH = itemgetter(0)
cdef dict plans = {}        # address of a class: (weak reference to it, plan)


class Unkeyable(TypeError):
    """A value is nothing that a key can be made of."""


cdef class KeyPlan:
    def __dealloc__(self):
        PyMem_Free(self.offsets)


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


# ---- plans

cdef KeyPlan plan_of(object cls):
    cdef uintptr_t address = <uintptr_t><PyObject *>cls
    known = plans.get(address)
    if known is not None and known[0]() is cls:
        return known[1]
    plan = make_plan(cls)

    def forget(dead):
        known = plans.get(address)
        if known is not None and known[0] is dead:
            del plans[address]

    plans[address] = (ref(cls, forget), plan)
    return plan


cdef KeyPlan make_plan(object cls):
    cdef KeyPlan plan = KeyPlan.__new__(KeyPlan)
    plan.cls = <PyObject *>cls
    plan.factor = FACTOR
    plan.seed = mix(SECRET, <uintptr_t>plan.cls, FACTOR)
    plan.cacheable = getattr(cls, "cacheable", True) is not False
    plan.has_cache_key = callable(getattr(cls, "cache_key", None))
    plan.names = ()
    is_struct = isinstance(cls, msgspec.StructMeta)
    if is_struct and cls.__struct_config__.frozen and not cls.__dictoffset__:
        plan.shape = STRUCT
        plan.names = cls.__struct_fields__
        find_offsets(plan, cls)
        plan.is_own = plan.offsets != NULL and not plan.has_cache_key
    else:
        names = declared_names(cls)
        if names is not None and not has_other_state(cls, names):
            plan.shape = DATACLASS if is_frozen_dataclass(cls) else CHANGEABLE
            plan.names = names
    return plan


cdef bint is_frozen_dataclass(object cls) except -1:
    # A subclass that is none itself may hold more than the fields.
    parameters = vars(cls).get("__dataclass_params__")
    return parameters is not None and parameters.frozen


cdef tuple declared_names(object cls):
    """Return the fields that a class itself declares; None where it declares none."""
    own = vars(cls)
    if isinstance(cls, msgspec.StructMeta):
        return cls.__struct_fields__
    if "__dataclass_params__" in own:
        return tuple([
            name
            for name, field in cls.__dataclass_fields__.items()
            if field._field_type.name == "_FIELD"
        ])
    if "__attrs_attrs__" in own:
        return tuple(map(attrgetter("name"), cls.__attrs_attrs__))
    if "__pydantic_complete__" in own:
        return (*cls.model_fields, EXTRA)
    return None


cdef bint has_other_state(object cls, tuple names) except -1:
    """Whether instances hold what lies in no field: other slots, a str or a list."""
    is_struct = isinstance(cls, msgspec.StructMeta)
    for base in cls.__mro__:
        if base is not object and not is_struct and not base.__flags__ & HEAP_TYPE:
            return True
        for name, value in vars(base).items():
            if type(value) is MemberDescriptorType:
                if name not in names and not name.startswith("__"):
                    return True
    return False


cdef bint holds_more(KeyPlan plan, object message) except -1:
    """Whether something has attributes beside its declared fields."""
    if plan.shape == STRUCT:
        return False
    attributes = getattr(message, "__dict__", None)
    for name in attributes or ():
        if name not in plan.names:
            # What was worked out of the fields says no more than they do.
            if type(descriptor_of(<object>plan.cls, name)) is not cached_property:
                return True
    return EXTRA in plan.names and bool(message.__pydantic_private__)


cdef int find_offsets(KeyPlan plan, object cls) except -1:
    """Find where its fields lie; leave it at NULL where one is no plain slot."""
    cdef int index
    cdef PyMemberDef *member
    cdef Py_ssize_t *offsets
    cdef int count = len(plan.names)
    offsets = <Py_ssize_t *>PyMem_Malloc((count + 1) * sizeof(Py_ssize_t))
    if offsets == NULL:
        raise MemoryError
    for index, name in enumerate(plan.names):
        descriptor = descriptor_of(cls, name)
        # One of another class, kept under this name, lies elsewhere or nowhere.
        if type(descriptor) is not MemberDescriptorType or not issubclass(
            cls, descriptor.__objclass__
        ):
            PyMem_Free(offsets)
            return 0
        member = (<PyMemberDescrObject *>descriptor).d_member
        if member.type != T_OBJECT_EX:
            PyMem_Free(offsets)
            return 0
        offsets[index] = member.offset
    plan.offsets = offsets
    plan.count = count
    return 0


cdef object descriptor_of(object cls, str name):
    for base in cls.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return None


# ---- freezing

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
    """Freeze one value; `depth` counts what it lies in, a field's is 0."""
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
    """Freeze a container; what has no order gets one by hashes."""
    cdef list items = []
    require_depth(depth)
    if len(value) * KEY_ITEM > budget[0]:
        spend(budget, len(value) * KEY_ITEM)
    if cls is dict:
        # A list first: the dict may change while users' cache_key or enums are asked.
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
        # Not by value: 1.0 and 1.00 are equal, yet a handler may tell them apart.
        text = str(value)
        spend(budget, len(text))
        return (cls, text)
    # Its true class: what a Mock claims to be has no value to go by.
    if issubclass(cls, Enum):
        # A combination of flags is made on demand, a member is there for good.
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
    """Freeze a zone: two moments that are equal in different zones are not the same."""
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


internal(KeyPlan)
internal(TypedKey)
