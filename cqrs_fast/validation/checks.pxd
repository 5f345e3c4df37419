"""The nodes of a compiled check: one small object per annotation, no Python on success.

A check walks a value that was built in Python and compares it with its annotation,
without coercion. What it finds goes into a Report; where it is, is told by Steps, which
live on the C stack and become a path (`$.items[0].x`) only when something is wrong.

Every `check` returns 0 (valid) or 1 (invalid, already reported) and raises only what
user code raises (an `__instancecheck__`, a descriptor). A node that is None checks
nothing.
"""

cimport cython
from cpython.object cimport PyObject, PyObject_TypeCheck, PyTypeObject
from libc.stdint cimport int64_t

cdef enum:
    MAX_DEPTH = 64        # containers inside each other, the message itself included

    STEP_ROOT = -3        # Step.index of the message itself
    STEP_KEY = -2         # a key of a mapping: msgspec writes "key in $.map"
    STEP_VALUE = -1       # a value of a mapping: "$.map[...]"; 0 and up: "[index]"

cdef struct Step:
    const Step* up        # NULL at the message
    PyObject* name        # borrowed field name, or NULL: see `index`
    Py_ssize_t index      # position, or one of STEP_*
    int depth             # containers entered so far

cdef struct Report:
    PyObject* errors      # owned list of (path, code, message), or NULL: none yet
    int count
    int limit             # stop there; 0: only the verdict is wanted


cdef extern from *:
    """
    /* What most fields are held to, so simple that it is kept or not without a call. */
    typedef struct {
        PyTypeObject *type;         /* exactly; NULL: there is no such simple rule */
        int64_t low, high;          /* of an int, or of the length of a str */
    } cqrs_simple;

    /* Whether the value surely keeps the rule; 0: look closer. */
    static inline int cqrs_keeps(const cqrs_simple *rule, PyObject *value) {
        if (Py_TYPE(value) != rule->type) {
            return 0;
        }
        if (rule->type == &PyUnicode_Type) {
            Py_ssize_t length = PyUnicode_GET_LENGTH(value);
            return rule->low <= length && length <= rule->high;
        }
        if (rule->type == &PyLong_Type) {
            int64_t number;
    #if PY_VERSION_HEX >= 0x030c0000
            if (!PyUnstable_Long_IsCompact((PyLongObject *)value)) {
                return 0;
            }
            number = PyUnstable_Long_CompactValue((PyLongObject *)value);
    #else
            Py_ssize_t size = Py_SIZE(value);
            if (size < -1 || size > 1) {
                return 0;
            }
            number = (int64_t)size * ((PyLongObject *)value)->ob_digit[0];
    #endif
            return rule->low <= number && number <= rule->high;
        }
        return 1;
    }
    """
    ctypedef struct Simple "cqrs_simple":
        PyTypeObject* type
        int64_t low, high
    bint keeps "cqrs_keeps"(const Simple* rule, PyObject* value) noexcept


cdef class Node:
    cdef readonly str label                     # "int", "list", "int | None"

    # The rule that a valid value mostly keeps; its type is NULL for none.
    cdef Simple simple(self) noexcept

    cdef bint accepts(self, object value) except -1    # the type alone, not its parts
    cdef int check(self, object value, const Step* at, Report* report) except -1


@cython.final
cdef class NoneNode(Node):
    pass


cdef struct Lengths:
    Py_ssize_t low
    Py_ssize_t high       # -1: unbounded


# A TypeError for what is no class: nodes compare the types of values with it.
cdef int require_class(object cls) except -1

cdef Lengths lengths_of(min_length, max_length)

# Reporting: always 1, so that a check can return it.
cdef int report_error(Report* report, const Step* at, str code, message) except -1
cdef int wrong_type(Node node, object value, const Step* at, Report* report) except -1


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
    """Prepare the step of a container's parts; 1 where it lies too deep."""
    inside.up = at
    inside.name = NULL
    inside.index = 0
    inside.depth = at.depth + 1
    if inside.depth > MAX_DEPTH:
        return report_error(
            report, at, "invalid", f"expected at most {MAX_DEPTH} levels of nesting"
        )
    return 0


# Whether the memory of a value is laid out as a class says. `isinstance` tells less: it
# goes by `__class__` and by what a metaclass answers.
cdef inline bint is_laid_out_as(object value, object cls) noexcept:
    return PyObject_TypeCheck(value, <PyTypeObject*>cls)


cdef inline bint is_instance(object value, object cls) except -1:
    """isinstance, where a real subclass does not have to ask an abstract class."""
    return is_laid_out_as(value, cls) or isinstance(value, cls)
