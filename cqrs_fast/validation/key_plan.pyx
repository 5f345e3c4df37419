"""Plan the keys of one class of messages: which fields, at which offsets."""

from functools import cached_property
from operator import attrgetter
from os import urandom
from types import MemberDescriptorType
from weakref import ref

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.stdint cimport uintptr_t

from cqrs_fast.base.sealing cimport internal
from cqrs_fast.validation.key_values cimport mix

import msgspec

cdef extern from "structmember.h":
    ctypedef struct PyMemberDef:
        int type
        Py_ssize_t offset
    ctypedef struct PyMemberDescrObject:
        PyMemberDef* d_member
    int T_OBJECT_EX

SECRET = int.from_bytes(urandom(8), "little")
FACTOR = int.from_bytes(urandom(8), "little") | 1

cdef str EXTRA = "__pydantic_extra__"      # attributes that are no fields, or None
cdef int HEAP_TYPE = 1 << 9                 # in type.__flags__: not written in C
cdef dict plans = {}        # address of a class: (weak reference to it, plan)


cdef class KeyPlan:
    def __dealloc__(self):
        PyMem_Free(self.offsets)


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
            plan.shape = DECLARED
            plan.names = names
    return plan


cdef tuple declared_names(object cls):
    """Return the fields that a class itself declares; None if it declares none."""
    own = vars(cls)
    if isinstance(cls, msgspec.StructMeta):
        return cls.__struct_fields__
    if "__dataclass_params__" in own:
        from dataclasses import fields  # takes long to import

        return tuple(map(attrgetter("name"), fields(cls)))
    if "__attrs_attrs__" in own:
        return tuple(map(attrgetter("name"), cls.__attrs_attrs__))
    if "__pydantic_complete__" in own:
        return (*cls.model_fields, EXTRA)
    return None


cdef bint has_other_state(object cls, tuple names) except -1:
    """Whether instances hold more than fields: other slots, a str or a list."""
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
    if plan.shape == STRUCT:
        return False
    attributes = getattr(message, "__dict__", None)
    for name in attributes or ():
        if name not in plan.names:
            # A value computed from the fields adds nothing to them.
            if type(descriptor_of(<object>plan.cls, name)) is not cached_property:
                return True
    return EXTRA in plan.names and bool(message.__pydantic_private__)


cdef int find_offsets(KeyPlan plan, object cls) except -1:
    """Find the offsets of the fields; leave them NULL if one is no plain slot."""
    cdef int index
    cdef PyMemberDef *member
    cdef Py_ssize_t *offsets
    cdef int count = len(plan.names)
    offsets = <Py_ssize_t *>PyMem_Malloc((count + 1) * sizeof(Py_ssize_t))
    if offsets == NULL:
        raise MemoryError
    for index, name in enumerate(plan.names):
        descriptor = descriptor_of(cls, name)
        # A descriptor of another class, stored under this name, is no field of this.
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
    plan.offsets, plan.count = offsets, count
    return 0


cdef object descriptor_of(object cls, str name):
    for base in cls.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return None


internal(KeyPlan)
