"""Check values that are made of other values, and choices between types."""

cimport cython
from cpython.dict cimport (
    PyDict_Check,
    PyDict_CheckExact,
    PyDict_GetItemWithError,
    PyDict_Next,
)
from cpython.list cimport (
    PyList_Check,
    PyList_CheckExact,
    PyList_GET_ITEM,
    PyList_GET_SIZE,
)
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject
from cpython.set cimport PyAnySet_Check
from cpython.tuple cimport (
    PyTuple_Check,
    PyTuple_CheckExact,
    PyTuple_GET_ITEM,
    PyTuple_GET_SIZE,
)

from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.validation.checks cimport (
    STEP_KEY,
    STEP_VALUE,
    Lengths,
    Node,
    NoneNode,
    Report,
    Step,
    check_length,
    enter,
    is_instance,
    is_laid_out_as,
    lengths_of,
    report_error,
    require_class,
    wrong_type,
)

from operator import attrgetter
from types import MemberDescriptorType

import msgspec


cdef extern from *:
    """
    /* Exported by every supported CPython, declared in public headers up to 3.12 only.
       The public way to walk a set allocates an iterator. */
    PyAPI_FUNC(int) _PySet_NextEntry(PyObject*, Py_ssize_t*, PyObject**, Py_hash_t*);
    """
    int _PySet_NextEntry(
        object container, Py_ssize_t* position, PyObject** key, Py_hash_t* hash_value
    ) except -1

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
cdef class UnionNode(Node):
    cdef readonly tuple nodes
    cdef bint optional    # None belongs to it: the commonest union gets the first look

    def __init__(self, nodes):
        self.nodes = tuple(nodes)
        for node in self.nodes:
            if not isinstance(node, Node):
                raise TypeError(f"expected a Node, got {node!r}")
        self.optional = NoneNode in map(type, self.nodes)
        labels = list(map(attrgetter("label"), self.nodes))
        labels.sort(key="None".__eq__)  # None last, as one writes it
        self.label = " | ".join(dict.fromkeys(labels))

    cdef bint accepts(self, object value) except -1:
        for node in self.nodes:
            if (<Node>node).accepts(value):
                return True
        return False

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        cdef Node fitting = None
        cdef Report verdict
        if self.optional and value is None:
            return 0
        verdict.errors = NULL
        verdict.limit = 0
        for node in self.nodes:
            if not (<Node>node).accepts(value):
                continue
            verdict.count = 0
            if (<Node>node).check(value, at, &verdict) == 0:
                return 0
            if fitting is None:
                fitting = node
        if fitting is None:
            return wrong_type(self, value, at, report)
        if report.limit == 0:
            return report_error(report, at, "invalid", "")
        return fitting.check(value, at, report)


@cython.final
cdef class LinkNode(Node):
    """What is inside of itself: the node that an alias stands for.

    Only a container leads back to it, so that MAX_DEPTH ends a value that is endless.
    """

    def __init__(self, str label):
        self.label = label

    def lead_to(self, Node target):
        """Set the node, once it is compiled; None where anything goes."""
        if self.is_set:
            raise RuntimeError(f"the target of {self.label} is set already")
        self.target, self.is_set = target, True

    cdef bint accepts(self, object value) except -1:
        return self.target is None or self.target.accepts(value)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        return 0 if self.target is None else self.target.check(value, at, report)


# ---- containers: a node of their items, None where anything goes

@cython.final
cdef class ArrayNode(Node):
    """A list, set, frozenset, tuple, or an abstract collection of items of one type.

    A str, bytes or bytearray is no array, even where its class calls it a Sequence.
    """

    cdef object cls
    cdef bint takes_list, takes_tuple     # without asking an abstract class
    cdef readonly Node item
    cdef Lengths lengths

    def __init__(self, cls, Node item, min_length=None, max_length=None):
        require_class(cls)
        self.cls = cls
        self.label = cls.__name__
        self.takes_list = issubclass(list, cls)
        self.takes_tuple = issubclass(tuple, cls)
        self.item = item
        self.lengths = lengths_of(min_length, max_length)

    cdef bint accepts(self, object value) except -1:
        if PyList_CheckExact(value) or PyTuple_CheckExact(value):
            return self.takes_list if PyList_CheckExact(value) else self.takes_tuple
        return is_instance(value, self.cls) and not isinstance(
            value, (str, bytes, bytearray)
        )

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        cdef Step inside
        if not self.accepts(value):
            return wrong_type(self, value, at, report)
        if check_length(&self.lengths, len(value), self, at, report):
            return 1
        if self.item is None:
            return 0
        if enter(at, &inside, report):
            return 1
        if PyList_Check(value) or PyTuple_Check(value):
            return self.check_items(value, &inside, report)
        if PyAnySet_Check(value):
            return self.check_set(value, &inside, report)
        return self.check_iterable(value, &inside, report)

    cdef int check_items(self, object value, Step* inside, Report* report) except -1:
        cdef int failed = 0
        cdef bint is_list = PyList_Check(value)
        while inside.index < (
            PyList_GET_SIZE(value) if is_list else PyTuple_GET_SIZE(value)
        ):
            if is_list:
                item = <object>PyList_GET_ITEM(value, inside.index)
            else:
                item = <object>PyTuple_GET_ITEM(value, inside.index)
            if self.item.check(item, inside, report):
                failed = 1
                if report.count >= report.limit:
                    break
            inside.index += 1
        return failed

    cdef int check_set(self, object value, Step* inside, Report* report) except -1:
        cdef int failed = 0
        cdef Py_ssize_t position = 0
        cdef PyObject* found
        cdef Py_hash_t hash_value
        while _PySet_NextEntry(value, &position, &found, &hash_value):
            item = <object>found  # owned: users' comparisons may empty the set
            if self.item.check(item, inside, report):
                failed = 1
                if report.count >= report.limit:
                    break
            inside.index += 1
        return failed

    cdef int check_iterable(self, object value, Step* inside, Report* report) except -1:
        cdef int failed = 0
        for item in value:
            if self.item.check(item, inside, report):
                failed = 1
                if report.count >= report.limit:
                    break
            inside.index += 1
        return failed


@cython.final
cdef class TupleNode(Node):
    """A tuple of fixed length."""

    cdef readonly tuple items    # a node or None for each place

    def __init__(self, items):
        self.label = "tuple"
        cdef list kept = []
        for item in items:
            if item is not None and not isinstance(item, Node):
                raise TypeError(f"expected a Node or None, got {item!r}")
            kept.append(item)
        self.items = tuple(kept)

    cdef bint accepts(self, object value) except -1:
        return PyTuple_Check(value)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        cdef Step inside
        cdef int failed = 0
        if not PyTuple_Check(value):
            return wrong_type(self, value, at, report)
        if PyTuple_GET_SIZE(value) != PyTuple_GET_SIZE(self.items):
            return report_error(
                report, at, "type", f"expected tuple of length {len(self.items)}"
            )
        if enter(at, &inside, report):
            return 1
        for index in range(PyTuple_GET_SIZE(self.items)):
            node = <Node>PyTuple_GET_ITEM(self.items, index)
            item = <object>PyTuple_GET_ITEM(value, index)
            inside.index = index
            if node is not None and (<Node>node).check(item, &inside, report):
                failed = 1
                if report.count >= report.limit:
                    break
        return failed


@cython.final
cdef class MappingNode(Node):
    cdef object cls
    cdef bint takes_dict
    cdef readonly Node key, value
    cdef Lengths lengths

    def __init__(self, cls, Node key, Node value, min_length=None, max_length=None):
        require_class(cls)
        self.cls = cls
        self.label = cls.__name__
        self.takes_dict = issubclass(dict, cls)
        self.key, self.value = key, value
        self.lengths = lengths_of(min_length, max_length)

    cdef bint accepts(self, object value) except -1:
        if PyDict_CheckExact(value):
            return self.takes_dict
        return is_instance(value, self.cls)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        cdef Step inside
        cdef Py_ssize_t position = 0
        cdef PyObject* found_name
        cdef PyObject* found
        cdef int failed = 0
        if not self.accepts(value):
            return wrong_type(self, value, at, report)
        if check_length(&self.lengths, len(value), self, at, report):
            return 1
        if self.key is None and self.value is None:
            return 0
        if enter(at, &inside, report):
            return 1
        if not PyDict_Check(value):
            for name in value:
                if self.check_pair(name, value[name], &inside, report):
                    failed = 1
                    if report.count >= report.limit:
                        break
            return failed
        while PyDict_Next(value, &position, &found_name, &found):
            name, item = <object>found_name, <object>found  # owned, as in a set
            if self.check_pair(name, item, &inside, report):
                failed = 1
                if report.count >= report.limit:
                    break
        return failed

    cdef int check_pair(
        self, object key, object item, Step* inside, Report* report
    ) except -1:
        cdef int failed = 0
        if self.key is not None:
            inside.index = STEP_KEY
            failed = self.key.check(key, inside, report)
            if failed and report.count >= report.limit:
                return 1
        if self.value is not None:
            inside.index = STEP_VALUE
            failed |= self.value.check(item, inside, report)
        return failed


@cython.final
cdef class Field:
    def __init__(
        self, str name, wire_name, Node node, bint required, bint may_be_unset
    ):
        self.name = name
        self.node = node
        self.required = required
        self.may_be_unset = may_be_unset
        self.access = ATTRIBUTE
        self.owner = object
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
        require_class(cls)
        self.cls = cls
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
        # A TypedDict is a dict; what only claims to be one has no keys to look at.
        if self.cls is dict:
            return PyDict_Check(value)
        return is_instance(value, self.cls)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        if not self.accepts(value):
            return wrong_type(self, value, at, report)
        return self.check_fields(value, at, report)

    cdef int check_fields(
        self, object value, const Step* at, Report* report
    ) except -1:
        # hot: nothing here may allocate while the record is valid
        cdef Step inside
        cdef Place* place
        cdef PyObject* found
        cdef int failed = 0
        cdef Py_ssize_t index
        # Mocks and the like, which isinstance alone accepts, hold nothing at an offset.
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
            if self.check_place(place, found, &inside, report):
                failed = 1
                if report.count >= report.limit:
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


constructed(UnionNode)
constructed(LinkNode)
constructed(ArrayNode)
constructed(TupleNode)
constructed(MappingNode)
constructed(Field)
constructed(RecordNode)
