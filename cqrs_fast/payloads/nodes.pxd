"""Nodes that check a payload as it was decoded without types.

They hold what msgspec would have read from it to the rules of the class, and put the
nodes of validation to work wherever a value on the wire is the value itself. As
there, `check` returns 0 (valid) or 1 (invalid, reported), and no text quotes a value.
"""

cimport cython

from cqrs_fast.validation.checks cimport Node, Report, Step
from cqrs_fast.validation.record_nodes cimport RecordNode


@cython.final
cdef class ObjectNode(Node):
    """A record that is an object on the wire: its fields by their names there."""

    cdef readonly str tag_field     # None: it has no tag
    cdef readonly object tag
    cdef Node tag_node
    cdef RecordNode record          # of a dict
    cdef frozenset known            # all names it may have; None: any


@cython.final
cdef class ArrayOfPartsNode(Node):
    """A tuple, or a record whose fields go by position: an array on the wire."""

    cdef readonly object tag        # of the first item; None: it has no tag
    cdef Node tag_node
    cdef Node parts                 # of a tuple: a TupleNode or RecordNode
    cdef Py_ssize_t most            # items; -1: any number


@cython.final
cdef class TextNode(Node):
    """A value that the wire writes as something else, mostly as text."""

    cdef object convert             # what is on the wire -> the value; or raises
    cdef tuple wire_types           # what it may be there, if it is a good one
    cdef Node value                 # of what was converted; None: all are good
    cdef str expected               # "a valid UUID"


@cython.final
cdef class ChoiceNode(Node):
    """A union; of records the tag says which."""

    cdef Node union              # of its members
    cdef str tag_field
    cdef dict objects, arrays       # tag -> its node
    cdef Node object_tags, array_tags


@cython.final
cdef class RangeNode(Node):
    """A number in JSON. What neither an int nor a float can hold is a Decimal here."""

    cdef Node value                 # of one that is within range; None: all are good
    cdef bint is_float              # no int that is beyond floats, either


@cython.final
cdef class UndecodableNode(Node):
    """A class that no payload can become: the fault of the message, not of the payload.

    Its `check` raises TypeError.
    """

    cdef str text
