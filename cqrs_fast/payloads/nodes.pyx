"""Check payloads that were decoded without types."""

cimport cython
from cpython.dict cimport PyDict_Check, PyDict_GetItemWithError
from cpython.list cimport PyList_Check
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF

from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.validation.check_ops cimport enter
from cqrs_fast.validation.checks cimport (
    STEP_KEY,
    STEP_ROOT,
    Node,
    Report,
    Step,
    report_error,
    wrong_type,
)
from cqrs_fast.validation.record_nodes cimport RecordNode

from decimal import Decimal

import msgspec

from cqrs_fast.validation.containers import UnionNode
from cqrs_fast.validation.scalars import LiteralNode, StrNode

cdef Node STRING = StrNode()

# What a conversion raises of its input; anything else is user code's.
UNCONVERTIBLE = (msgspec.MsgspecError, ValueError, OverflowError)


def errors_of(Node node not None, value, int limit):
    """Return what a node finds wrong with a value: (path, code, message), at most
    `limit` of them."""
    cdef Step root
    cdef Report report
    root.up, root.name, root.index, root.depth = NULL, NULL, STEP_ROOT, 0
    report.errors, report.count, report.limit = NULL, 0, limit
    try:
        node.check(value, &root, &report)
        return [] if report.errors == NULL else list(<object>report.errors)
    finally:
        Py_XDECREF(report.errors)


def labelled(Node node not None, str label not None):
    """Give a new node the name of what stands in the annotation; return it."""
    node.label = label
    return node


cdef Node node_of_tag(tag):
    return None if tag is None else LiteralNode((tag,))


@cython.final
cdef class ObjectNode(Node):
    def __init__(self, str label not None, str tag_field=None, tag=None):
        self.label = label
        self.tag_field = tag_field
        self.tag = tag
        self.tag_node = node_of_tag(tag)
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
            if tag != NULL:  # alone, it needs none
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
            failed = report_error(
                report, at, "invalid", "expected no fields beyond the declared ones"
            )
        return failed


@cython.final
cdef class ArrayOfPartsNode(Node):
    def __init__(self, str label not None, tag=None):
        self.label = label
        self.tag = tag
        self.tag_node = node_of_tag(tag)
        self.most = -1

    def fill(self, Node parts not None, Py_ssize_t most=-1):
        """Set the node of the parts, once they are compiled."""
        self.parts = parts
        self.most = most

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
                return report_error(
                    report, &inside, "missing", "required, but not set"
                )
            if self.tag_node.check(parts[0], &inside, report):
                return 1
        if self.most >= 0 and len(parts) > self.most:
            return report_error(
                report, at, "type", f"expected {self.label} of length {self.most}"
            )
        return self.parts.check(parts, at, report)


@cython.final
cdef class TextNode(Node):
    def __init__(
        self, str label not None, convert, wire_types, Node value, str expected not None
    ):
        self.label = label
        self.convert = convert
        self.wire_types = tuple(wire_types)
        self.value = value
        self.expected = expected

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
                return report_error(
                    report, &inside, "missing", "required, but not set"
                )
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
    def __init__(self, str label not None, Node value, bint is_float):
        self.label = label
        self.value = value
        self.is_float = is_float

    cdef bint accepts(self, object value) except -1:
        return type(value) is Decimal or self.value is None or (
            self.value.accepts(value)
        )

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        is_huge = type(value) is Decimal
        if self.is_float and type(value) is int:
            try:
                float(value)
            except OverflowError:
                is_huge = True
        if is_huge:
            return report_error(
                report, at, "invalid", "expected a value within range"
            )
        return 0 if self.value is None else self.value.check(value, at, report)


@cython.final
cdef class UndecodableNode(Node):
    def __init__(self, str label not None, str text not None):
        self.label = label
        self.text = text

    cdef bint accepts(self, object value) except -1:
        return True  # whatever was meant for it

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        raise TypeError(self.text)


constructed(ObjectNode)
constructed(ArrayOfPartsNode)
constructed(TextNode)
constructed(ChoiceNode)
constructed(RangeNode)
constructed(UndecodableNode)
