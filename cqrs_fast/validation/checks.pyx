"""The base of all nodes, and the report of errors."""

from cpython.object cimport PyObject, PyObject_TypeCheck, PyTypeObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport INT64_MAX, INT64_MIN


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


cdef list find_errors(Node node, object value, int limit):
    cdef Step root
    cdef Report report
    root.up, root.name, root.index, root.depth = NULL, NULL, STEP_ROOT, 0
    report.errors, report.count, report.limit = NULL, 0, limit
    try:
        return <list>report.errors if node.check(value, &root, &report) else None
    finally:
        Py_XDECREF(report.errors)


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

    cdef int set_class(self, object cls) except -1:
        if not isinstance(cls, type):
            raise TypeError(f"expected a class, got {cls!r}")
        self.cls, self.label = cls, cls.__name__
        return 0

    cdef Simple simple(self) noexcept:
        return no_rule()

    cdef bint accepts(self, object value) except -1:
        if self.cls is None:
            return False
        if PyObject_TypeCheck(value, <PyTypeObject*>self.cls):
            return True
        return isinstance(value, self.cls)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        if self.accepts(value):
            return 0
        return wrong_type(self, value, at, report)
