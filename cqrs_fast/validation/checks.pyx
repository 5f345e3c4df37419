"""What every compiled check is made of: the node, and the report of what is wrong."""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport INT64_MAX, INT64_MIN

from cqrs_fast.base.sealing cimport constructed


cdef str path_of(const Step* at):
    """Write a path as msgspec does: `$.a[0]`, `$.map[...]`, `key in $.map`."""
    cdef list steps = []
    cdef list outer = []
    cdef str here = "$"
    while at != NULL and at.index != STEP_ROOT:
        steps.append(<object>at.name if at.name != NULL else at.index)
        at = at.up
    for step in reversed(steps):
        if isinstance(step, str):
            here = f"{here}.{step}"
        elif step == STEP_KEY:
            outer.append(here)
            here = "key"
        elif step == STEP_VALUE:
            here = f"{here}[...]"
        else:
            here = f"{here}[{step}]"
    outer.append(here)
    return " in ".join(reversed(outer))


cdef int report_error(Report* report, const Step* at, str code, message) except -1:
    """Note one error; always 1, so that a check can return it."""
    cdef list errors
    report.count += 1
    if report.count <= report.limit:
        if report.errors == NULL:
            errors = []
            Py_INCREF(errors)
            report.errors = <PyObject*>errors
        (<list>report.errors).append((path_of(at), code, str(message)))
    return 1


cdef int wrong_type(Node node, object value, const Step* at, Report* report) except -1:
    if report.limit == 0:  # a verdict needs no text
        return report_error(report, at, "type", "")
    return report_error(
        report, at, "type", f"expected {node.label}, got {type(value).__name__}"
    )


cdef int require_class(object cls) except -1:
    if not isinstance(cls, type):
        raise TypeError(f"expected a class, got {cls!r}")
    return 0


cdef Simple no_rule() noexcept:
    cdef Simple rule
    rule.type = NULL
    rule.low, rule.high = INT64_MIN, INT64_MAX
    return rule


cdef Lengths lengths_of(min_length, max_length):
    cdef Lengths lengths
    lengths.low = 0 if min_length is None else min_length
    lengths.high = -1 if max_length is None else max_length
    return lengths


cdef class Node:
    def __init__(self, str label):
        self.label = label

    cdef Simple simple(self) noexcept:
        return no_rule()

    cdef bint accepts(self, object value) except -1:
        raise NotImplementedError

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        if self.accepts(value):
            return 0
        return wrong_type(self, value, at, report)


@cython.final
cdef class NoneNode(Node):
    def __init__(self):
        self.label = "None"

    cdef bint accepts(self, object value) except -1:
        return value is None


constructed(NoneNode)
