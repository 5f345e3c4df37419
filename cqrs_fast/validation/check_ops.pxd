"""First steps of checks, compiled into each of them. Open last."""

from cpython.object cimport PyObject_TypeCheck, PyTypeObject

from cqrs_fast.validation.checks cimport (
    MAX_DEPTH, Lengths, Node, Report, Step, report_error,
)


cdef inline int check_length(
    Lengths* lengths, Py_ssize_t length, Node node, const Step* at, Report* report
) except -1:
    if length < lengths.low:
        expected = f"expected {node.label} of length >= {lengths.low}"
        return report_error(report, at, "min_length", expected)
    if lengths.high >= 0 and length > lengths.high:
        expected = f"expected {node.label} of length <= {lengths.high}"
        return report_error(report, at, "max_length", expected)
    return 0


cdef inline int enter(const Step* at, Step* inside, Report* report) except -1:
    """Prepare the step of a container's parts; 1 if it is nested too deep."""
    inside.up = at
    inside.name = NULL
    inside.index = 0
    inside.depth = at.depth + 1
    if inside.depth > MAX_DEPTH:
        expected = f"expected at most {MAX_DEPTH} levels of nesting"
        return report_error(report, at, "invalid", expected)
    return 0


# Whether a value has the memory layout of a class. `isinstance` proves less: it trusts
# `__class__` and the metaclass.
cdef inline bint is_laid_out_as(object value, object cls) noexcept:
    return PyObject_TypeCheck(value, <PyTypeObject*>cls)


cdef inline bint is_instance(object value, object cls) except -1:
    """isinstance, without a call of an abstract class for a real subclass."""
    return is_laid_out_as(value, cls) or isinstance(value, cls)
