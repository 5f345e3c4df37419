"""Nodes that check a payload that was decoded without types.

They apply the rules of the class to what msgspec would have read. A value that the wire
writes as it is gets the node of validation. As there, `check` returns 0 (valid) or 1
(invalid, reported), and no text quotes a value.
"""

cimport cython
from cpython.dict cimport PyDict_Check, PyDict_GetItemWithError
from cpython.list cimport PyList_Check
from cpython.object cimport PyObject

from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.validation.check_ops cimport enter
from cqrs_fast.validation.checks cimport (
    STEP_KEY, Node, Report, Step, find_errors, report_error, wrong_type,
)
from cqrs_fast.validation.record_nodes cimport RecordNode

from decimal import Decimal

import msgspec

from cqrs_fast.validation.containers import UnionNode
from cqrs_fast.validation.scalars import LiteralNode, StrNode

cdef Node STRING = StrNode()

# What a conversion raises for a bad value; user code raises anything else.
UNCONVERTIBLE = (msgspec.MsgspecError, ValueError, OverflowError)


def errors_of(Node node not None, value, int limit):
    """Return the (path, code, message) errors of a value, at most `limit`."""
    return find_errors(node, value, limit) or []


def labelled(Node node not None, str label not None):
    """Give a new node the name of its annotation; return it."""
    node.label = label
    return node


cdef Node node_of_tag(tag):
    return None if tag is None else LiteralNode((tag,))


cdef int report_missing(Report* report, const Step* at) except -1:
    return report_error(report, at, "missing", "required, but not set")


@cython.final
cdef class ObjectNode(Node):
    """A record that is an object on the wire: its fields by their names there."""

    cdef readonly str tag_field     # None: it has no tag
    cdef readonly object tag
    cdef Node tag_node
    cdef RecordNode record          # of a dict
    cdef frozenset known            # all names it may have; None: any

    def __init__(self, str label not None, str tag_field=None, tag=None):
        self.label = label
        self.tag_field, self.tag, self.tag_node = tag_field, tag, node_of_tag(tag)
        self.record = RecordNode(dict, label)

    def fill(self, fields, known):
        """Set the fields, once they are compiled: a record may contain itself."""
        self.record.fill(fields)
        self.known = known

    cdef bint accepts(self, object value) except -1:
        return PyDict_Check(value)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        cdef Step inside
        cdef PyObject* tag
        cdef int failed = 0
        if not PyDict_Check(value):
            return wrong_type(self, value, at, report)
        for key in value:
            if not isinstance(key, str):
                if enter(at, &inside, report):
                    return 1
                inside.index = STEP_KEY
                return wrong_type(STRING, key, &inside, report)
        if self.tag_node is not None:
            tag = PyDict_GetItemWithError(value, self.tag_field)
            if tag != NULL:  # not required outside of a union
                if enter(at, &inside, report):
                    return 1
                inside.name = <PyObject*>self.tag_field
                if self.tag_node.check(<object>tag, &inside, report):
                    return 1
        if self.record.check_fields(value, at, report):
            failed = 1
            if report.count >= report.limit:
                return 1
        if self.known is not None and not value.keys() <= self.known:
            expected = "expected no fields beyond the declared ones"
            failed = report_error(report, at, "invalid", expected)
        return failed


@cython.final
cdef class ArrayOfPartsNode(Node):
    """A tuple, or a record whose fields go by position: an array on the wire."""

    cdef readonly object tag        # of the first item; None: it has no tag
    cdef Node tag_node
    cdef Node parts                 # of a tuple: a TupleNode or RecordNode
    cdef Py_ssize_t most            # items; -1: any number

    def __init__(self, str label not None, tag=None):
        self.label = label
        self.tag, self.tag_node = tag, node_of_tag(tag)
        self.most = -1

    def fill(self, Node parts not None, Py_ssize_t most=-1):
        """Set the node of the parts, once they are compiled."""
        self.parts, self.most = parts, most

    cdef bint accepts(self, object value) except -1:
        return PyList_Check(value)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        cdef Step inside
        if not PyList_Check(value):
            return wrong_type(self, value, at, report)
        parts = tuple(value)
        if self.tag_node is not None:
            if enter(at, &inside, report):
                return 1
            if not parts:
                return report_missing(report, &inside)
            if self.tag_node.check(parts[0], &inside, report):
                return 1
        if self.most >= 0 and len(parts) > self.most:
            expected = f"expected {self.label} of length {self.most}"
            return report_error(report, at, "type", expected)
        return self.parts.check(parts, at, report)


@cython.final
cdef class TextNode(Node):
    """A value that the wire writes as something else, in most cases as text."""

    cdef object convert             # from the wire to the value; raises UNCONVERTIBLE
    cdef tuple wire_types           # of a valid value on the wire
    cdef Node value                 # of the converted value; None: all are valid
    cdef str expected               # "a valid UUID"

    def __init__(
        self, str label not None, convert, wire_types, Node value, str expected not None
    ):
        self.label = label
        self.convert, self.wire_types = convert, tuple(wire_types)
        self.value, self.expected = value, expected

    cdef bint accepts(self, object value) except -1:
        return type(value) in self.wire_types

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        failed = False
        converted = None
        try:
            converted = self.convert(value)
        except UNCONVERTIBLE:
            failed = True
        if not failed:
            return 0 if self.value is None else self.value.check(converted, at, report)
        if type(value) in self.wire_types:
            return report_error(report, at, "invalid", f"expected {self.expected}")
        return wrong_type(self, value, at, report)


@cython.final
cdef class ChoiceNode(Node):
    """A union; the tag chooses among records."""

    cdef Node union                 # of its members
    cdef str tag_field
    cdef dict objects, arrays       # tag -> its node
    cdef Node object_tags, array_tags

    def __init__(self, nodes):
        union = UnionNode(nodes)
        self.union = union
        self.label = union.label
        self.objects, self.arrays = {}, {}
        for node in union.nodes:
            if isinstance(node, ObjectNode) and node.tag is not None:
                self.objects[node.tag] = node
                self.tag_field = node.tag_field
            elif isinstance(node, ArrayOfPartsNode) and node.tag is not None:
                self.arrays[node.tag] = node
        self.object_tags = LiteralNode(self.objects)
        self.array_tags = LiteralNode(self.arrays)

    cdef bint accepts(self, object value) except -1:
        return self.union.accepts(value)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        cdef Step inside
        if len(self.objects) > 1 and PyDict_Check(value):
            if enter(at, &inside, report):
                return 1
            inside.name = <PyObject*>self.tag_field
            if self.tag_field not in value:
                return report_missing(report, &inside)
            tag = value[self.tag_field]
            if self.object_tags.check(tag, &inside, report):
                return 1
            return (<Node>self.objects[tag]).check(value, at, report)
        if len(self.arrays) > 1 and PyList_Check(value) and value:
            if enter(at, &inside, report):
                return 1
            if self.array_tags.check(value[0], &inside, report):
                return 1
            return (<Node>self.arrays[value[0]]).check(value, at, report)
        return self.union.check(value, at, report)


@cython.final
cdef class RangeNode(Node):
    """A number in JSON; a Decimal here if neither an int nor a float can hold it."""

    cdef Node value                 # of a number within range; None: all are valid
    cdef bint is_float              # an int beyond all floats is out of range too

    def __init__(self, str label not None, Node value, bint is_float):
        self.label, self.value, self.is_float = label, value, is_float

    cdef bint accepts(self, object value) except -1:
        if type(value) is Decimal or self.value is None:
            return True
        return self.value.accepts(value)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        is_huge = type(value) is Decimal
        if self.is_float and type(value) is int:
            try:
                float(value)
            except OverflowError:
                is_huge = True
        if is_huge:
            return report_error(report, at, "invalid", "expected a value within range")
        return 0 if self.value is None else self.value.check(value, at, report)


@cython.final
cdef class UndecodableNode(Node):
    """A class that no payload can become: an error of the class, not of the payload.

    Its `check` raises TypeError.
    """

    cdef str text

    def __init__(self, str label not None, str text not None):
        self.label, self.text = label, text

    cdef bint accepts(self, object value) except -1:
        return True  # so that `check` is called

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        raise TypeError(self.text)


constructed(ObjectNode)
constructed(ArrayOfPartsNode)
constructed(TextNode)
constructed(ChoiceNode)
constructed(RangeNode)
constructed(UndecodableNode)
