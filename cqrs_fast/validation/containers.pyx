"""Check values that are made of other values, and choices between types."""

cimport cython
from cpython.dict cimport PyDict_Check, PyDict_CheckExact, PyDict_Next
from cpython.list cimport (
    PyList_Check, PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE,
)
from cpython.object cimport PyObject
from cpython.set cimport PyAnySet_Check
from cpython.tuple cimport (
    PyTuple_Check, PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE,
)

from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.validation.check_ops cimport check_length, enter, is_instance
from cqrs_fast.validation.checks cimport (
    STEP_KEY, STEP_VALUE, Lengths, Node, Report, Step, lengths_of, report_error,
    wrong_type,
)

from operator import attrgetter

from cqrs_fast.validation.scalars import NoneNode


cdef extern from *:
    """
    /* Exported by every supported CPython, declared in public headers up to 3.12 only.
       The public way to walk a set allocates an iterator. */
    PyAPI_FUNC(int) _PySet_NextEntry(PyObject*, Py_ssize_t*, PyObject**, Py_hash_t*);
    """
    int _PySet_NextEntry(
        object container, Py_ssize_t* position, PyObject** key, Py_hash_t* hash_value
    ) except -1


@cython.final
cdef class UnionNode(Node):
    cdef readonly tuple nodes
    cdef bint optional    # None is a member: the most common union, checked first

    def __init__(self, nodes):
        self.nodes = tuple(nodes)
        for node in self.nodes:
            if not isinstance(node, Node):
                raise TypeError(f"expected a Node, got {node!r}")
        self.optional = NoneNode in map(type, self.nodes)
        labels = list(map(attrgetter("label"), self.nodes))
        labels.sort(key="None".__eq__)  # None last, as authors write it
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
    """The node of an alias that refers to itself.

    Only a container leads back to it, so MAX_DEPTH bounds an endless value.
    """

    cdef readonly Node target                   # None: any value is valid
    cdef bint is_set

    def __init__(self, str label):
        self.label = label

    def lead_to(self, Node target):
        """Set the node, once it is compiled; None if any value is valid."""
        if self.is_set:
            raise RuntimeError(f"the target of {self.label} is set already")
        self.target, self.is_set = target, True

    cdef bint accepts(self, object value) except -1:
        return self.target is None or self.target.accepts(value)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        return 0 if self.target is None else self.target.check(value, at, report)


@cython.final
cdef class ArrayNode(Node):
    """A list, set, frozenset, tuple, or an abstract collection of items of one type.

    A str, bytes or bytearray is no array, although each is a Sequence.
    """

    cdef bint takes_list, takes_tuple     # without asking an abstract class
    cdef readonly Node item
    cdef Lengths lengths

    def __init__(self, cls, Node item, min_length=None, max_length=None):
        self.set_class(cls)
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
            failed |= self.item.check(item, inside, report)
            if failed and report.count >= report.limit:
                break
            inside.index += 1
        return failed

    cdef int check_set(self, object value, Step* inside, Report* report) except -1:
        cdef int failed = 0
        cdef Py_ssize_t position = 0
        cdef PyObject* found
        cdef Py_hash_t hash_value
        while _PySet_NextEntry(value, &position, &found, &hash_value):
            item = <object>found  # owned: user code may empty the set
            failed |= self.item.check(item, inside, report)
            if failed and report.count >= report.limit:
                break
            inside.index += 1
        return failed

    cdef int check_iterable(self, object value, Step* inside, Report* report) except -1:
        cdef int failed = 0
        for item in value:
            failed |= self.item.check(item, inside, report)
            if failed and report.count >= report.limit:
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
            expected = f"expected tuple of length {len(self.items)}"
            return report_error(report, at, "type", expected)
        if enter(at, &inside, report):
            return 1
        for index in range(PyTuple_GET_SIZE(self.items)):
            node = <Node>PyTuple_GET_ITEM(self.items, index)
            item = <object>PyTuple_GET_ITEM(value, index)
            inside.index = index
            if node is not None:
                failed |= (<Node>node).check(item, &inside, report)
                if failed and report.count >= report.limit:
                    break
        return failed


@cython.final
cdef class MappingNode(Node):
    cdef bint takes_dict
    cdef readonly Node key, value
    cdef Lengths lengths

    def __init__(self, cls, Node key, Node value, min_length=None, max_length=None):
        self.set_class(cls)
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
                failed |= self.check_pair(name, value[name], &inside, report)
                if failed and report.count >= report.limit:
                    break
            return failed
        while PyDict_Next(value, &position, &found_name, &found):
            name, item = <object>found_name, <object>found  # owned, as in a set
            failed |= self.check_pair(name, item, &inside, report)
            if failed and report.count >= report.limit:
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


constructed(UnionNode)
constructed(LinkNode)
constructed(ArrayNode)
constructed(TupleNode)
constructed(MappingNode)
