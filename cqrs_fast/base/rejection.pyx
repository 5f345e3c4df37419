"""Rejections, made without a call of Python code: their rates are high."""

cimport cython

from cqrs_fast.base.sealing cimport constructed

from types import MemberDescriptorType


cdef extern from "structmember.h":
    ctypedef struct PyMemberDef:
        Py_ssize_t offset

    ctypedef struct PyMemberDescrObject:
        PyMemberDef *d_member


@cython.final
cdef class Rejection:
    """Make the errors of one class below RejectedError.

    Their constructors only fill slots; this does it without a call.

    Parameters:
        cls: the class.
        extras: the names of its own slots.
    """

    def __init__(self, type cls not None, *extras):
        if len(extras) > MOST_EXTRAS:
            raise TypeError(f"expected at most {MOST_EXTRAS} extras, got {len(extras)}")
        self.cls = cls
        self.retry_after = offset_of(cls, "retry_after")
        self.middleware = offset_of(cls, "middleware")
        self.name = offset_of(cls, "name")
        for index, extra in enumerate(extras):
            self.extras[index] = offset_of(cls, extra)


cdef Py_ssize_t offset_of(type cls, str name) except -1:
    member = getattr(cls, name)
    if type(member) is not MemberDescriptorType:
        raise TypeError(f"{cls.__name__}.{name} is no slot")
    return (<PyMemberDescrObject *>member).d_member.offset


constructed(Rejection)
