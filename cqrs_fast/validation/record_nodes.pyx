"""Check records: the fields of Structs, dataclasses, attrs classes and the like."""

cimport cython
from cpython.dict cimport PyDict_Check, PyDict_GetItemWithError
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE

from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.validation.check_ops cimport enter, is_instance, is_laid_out_as
from cqrs_fast.validation.checks cimport Node, Report, Step, report_error, wrong_type

from types import MemberDescriptorType

import msgspec


cdef extern from "structmember.h":
    ctypedef struct PyMemberDef:
        int type
        Py_ssize_t offset
    ctypedef struct PyMemberDescrObject:
        PyMemberDef* d_member
    int T_OBJECT_EX

cdef object ABSENT = object()
cdef object UNSET = msgspec.UNSET


@cython.final
cdef class Field:
    def __init__(
        self, str name, wire_name, Node node, bint required, bint may_be_unset
    ):
        self.name, self.node = name, node
        self.required, self.may_be_unset = required, may_be_unset
        self.access, self.owner = ATTRIBUTE, object
        self.position = -1
        if isinstance(wire_name, int):
            self.position = wire_name
        else:
            self.wire_name = wire_name

    def read_from_slot(self, descriptor):
        """Read through the descriptor's offset: it holds for every subclass too."""
        cdef PyMemberDef* member
        if type(descriptor) is not MemberDescriptorType:
            raise TypeError(f"expected a member descriptor, got {descriptor!r}")
        member = (<PyMemberDescrObject*>descriptor).d_member
        if member.type == T_OBJECT_EX:
            self.access, self.offset = SLOT, member.offset
            self.owner = descriptor.__objclass__

    def read_from_tuple(self, Py_ssize_t index):
        if index < 0:
            raise ValueError(f"index must be 0 or more, got {index!r}")
        self.access, self.offset, self.owner = INDEX, index, tuple

    def read_from_dict(self):
        self.access, self.owner = ITEM, dict


@cython.final
cdef class RecordNode(Node):
    def __init__(self, cls, str label):
        self.set_class(cls)
        self.label = label
        self.fields = ()

    def __dealloc__(self):
        PyMem_Free(self.places)

    def fill(self, fields):
        """Set the fields, once they are compiled: a record may contain itself."""
        cdef Field field
        cdef Place* place
        cdef list filled = []
        if self.places != NULL:
            raise RuntimeError(f"the fields of {self.label} are set already")
        for field in fields:
            if field is None or not issubclass(self.cls, field.owner):
                raise TypeError(f"{field!r} reads no field of {self.label}")
            filled.append(field)
        self.places = <Place*>PyMem_Calloc(len(filled) + 1, sizeof(Place))
        if self.places == NULL:
            raise MemoryError
        self.fields = tuple(filled)
        for field in self.fields:
            place = &self.places[self.count]
            place.access, place.offset = field.access, field.offset
            place.required, place.may_be_unset = field.required, field.may_be_unset
            place.position = field.position
            place.name = <PyObject*>field.name
            if field.wire_name is not None:
                place.wire_name = <PyObject*>field.wire_name
            if field.node is not None:
                place.node = <PyObject*>field.node
                place.rule = field.node.simple()
            self.count += 1

    cdef bint accepts(self, object value) except -1:
        # A TypedDict is a dict; an object that only claims to be one has no keys.
        if self.cls is dict:
            return PyDict_Check(value)
        return is_instance(value, self.cls)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        if not self.accepts(value):
            return wrong_type(self, value, at, report)
        return self.check_fields(value, at, report)

    cdef int check_fields(self, object value, const Step* at, Report* report) except -1:
        # hot: must not allocate while the record is valid
        cdef Step inside
        cdef Place* place
        cdef PyObject* found
        cdef int failed = 0
        cdef Py_ssize_t index
        # Mocks and others that only isinstance accepts have no slots.
        cdef bint laid_out = is_laid_out_as(value, self.cls)
        if enter(at, &inside, report):
            return 1
        for index in range(self.count):
            place = &self.places[index]
            if place.access == ATTRIBUTE or not laid_out:
                item = getattr(value, <object>place.name, ABSENT)
                found = NULL if item is ABSENT else <PyObject*>item
            elif place.access == SLOT:
                found = (<PyObject**>(<char*><PyObject*>value + place.offset))[0]
            elif place.access == ITEM:
                found = PyDict_GetItemWithError(value, <object>place.name)
            elif place.offset < PyTuple_GET_SIZE(value):
                found = PyTuple_GET_ITEM(value, place.offset)
            else:
                found = NULL
            failed |= self.check_place(place, found, &inside, report)
            if failed and report.count >= report.limit:
                break
        return failed

    cdef inline int check_place(
        self, Place* place, PyObject* found, Step* inside, Report* report
    ) except -1:
        inside.name = place.wire_name
        inside.index = place.position
        if found == NULL:
            if not place.required:
                return 0
            return report_error(report, inside, "missing", "required, but not set")
        if place.node == NULL or (place.may_be_unset and found == <PyObject*>UNSET):
            return 0
        item = <object>found  # owned while user code may run
        return (<Node>place.node).check(item, inside, report)


constructed(Field)
constructed(RecordNode)
