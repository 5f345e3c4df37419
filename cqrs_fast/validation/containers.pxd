"""Nodes with parts, and choices between nodes; most are private."""

cimport cython

from cqrs_fast.validation.checks cimport Node


@cython.final
cdef class LinkNode(Node):
    cdef readonly Node target                   # None: anything goes
    cdef bint is_set
