"""Check values against compiled annotations."""

import math
import re

cimport cython
from cpython.datetime cimport (
    PyDateTimeAPI,
    PyDateTime_Check,
    PyTime_Check,
    datetime_tzinfo,
    import_datetime,
    time_tzinfo,
)
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_Check
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_Check, PyUnicode_GET_LENGTH
from libc.math cimport fmod
from libc.stdint cimport INT64_MAX, INT64_MIN

from cqrs_fast.base.sealing cimport constructed, internal


import_datetime()

# As they are in C, whatever stands for them in the module (freezegun swaps it).
DATETIME = <object>PyDateTimeAPI.DateTimeType
DATE = <object>PyDateTimeAPI.DateType
TIME = <object>PyDateTimeAPI.TimeType
TIMEDELTA = <object>PyDateTimeAPI.DeltaType

# ---- reporting: the cold half

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


cdef inline bint is_int(object value) noexcept:  # type tests only
    return PyLong_Check(value) and value is not True and value is not False


cdef int require_class(object cls) except -1:
    if not isinstance(cls, type):
        raise TypeError(f"expected a class, got {cls!r}")
    return 0


# ---- single values

cdef Simple no_rule() noexcept:
    cdef Simple rule
    rule.type = NULL
    rule.low, rule.high = INT64_MIN, INT64_MAX
    return rule


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


@cython.final
cdef class InstanceNode(Node):
    """A class that is checked by `isinstance` alone."""

    cdef object cls

    def __init__(self, cls):
        require_class(cls)
        isinstance(None, cls)  # a class that refuses the question cannot be a check
        self.cls = cls
        self.label = cls.__name__

    cdef Simple simple(self) noexcept:
        cdef Simple rule = no_rule()
        rule.type = <PyTypeObject*>self.cls
        return rule

    cdef bint accepts(self, object value) except -1:
        return is_instance(value, self.cls)


cdef class NumberNode(Node):
    """What int and float share: the bounds as Python objects, compared exactly."""

    cdef readonly object ge, gt, le, lt, multiple_of
    cdef bint bare                              # the type is all there is to check

    cdef int bound_by(self, str label, ge, gt, le, lt, multiple_of) except -1:
        self.label = label
        self.ge, self.gt, self.le, self.lt = ge, gt, le, lt
        self.multiple_of = multiple_of
        self.bare = (
            ge is None and gt is None and le is None and lt is None
            and multiple_of is None
        )
        return 0

    cdef int out_of_range(
        self, object value, const Step* at, Report* report
    ) except -1:
        cdef str code, sign
        if self.ge is not None and not value >= self.ge:
            code, sign, bound = "ge", ">=", self.ge
        elif self.gt is not None and not value > self.gt:
            code, sign, bound = "gt", ">", self.gt
        elif self.le is not None and not value <= self.le:
            code, sign, bound = "le", "<=", self.le
        elif self.lt is not None and not value < self.lt:
            code, sign, bound = "lt", "<", self.lt
        else:
            return 0
        return report_error(report, at, code, f"expected {self.label} {sign} {bound}")

    cdef int not_a_multiple(self, const Step* at, Report* report) except -1:
        return report_error(
            report,
            at,
            "multiple_of",
            f"expected {self.label} that is a multiple of {self.multiple_of}",
        )


@cython.final
cdef class IntNode(NumberNode):
    """An int that is no bool; bounds outside int64 are compared as Python objects."""

    cdef bint exact
    cdef long long low, high, step    # inclusive; step 0: no multiple_of

    def __init__(self, ge=None, gt=None, le=None, lt=None, multiple_of=None):
        self.bound_by("int", ge, gt, le, lt, multiple_of)
        self.exact = any(
            bound is not None
            and not (type(bound) is int and INT64_MIN < bound < INT64_MAX)
            for bound in (ge, gt, le, lt, multiple_of)
        )
        self.low, self.high, self.step = INT64_MIN, INT64_MAX, 0
        if not self.exact:
            self.low = max(
                INT64_MIN if ge is None else ge, INT64_MIN if gt is None else gt + 1
            )
            self.high = min(
                INT64_MAX if le is None else le, INT64_MAX if lt is None else lt - 1
            )
            self.step = 0 if multiple_of is None else multiple_of

    cdef Simple simple(self) noexcept:
        cdef Simple rule = no_rule()
        if not self.exact and self.step == 0:
            rule.type = <PyTypeObject*>int
            rule.low, rule.high = self.low, self.high
        return rule

    cdef bint accepts(self, object value) except -1:
        return is_int(value)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        cdef int overflow = 0
        cdef long long number
        if not is_int(value):
            return wrong_type(self, value, at, report)
        if self.bare:
            return 0
        if not self.exact:
            number = PyLong_AsLongLongAndOverflow(value, &overflow)
            if (
                overflow == 0
                and self.low <= number <= self.high
                and (self.step == 0 or number % self.step == 0)
            ):
                return 0
        return self.compare(value, at, report)

    cdef int compare(self, object value, const Step* at, Report* report) except -1:
        """Compare exactly, in the order in which errors are told."""
        if self.out_of_range(value, at, report):
            return 1
        if self.multiple_of is not None and value % self.multiple_of != 0:
            return self.not_a_multiple(at, report)
        return 0


@cython.final
cdef class FloatNode(NumberNode):
    """A float, or an int standing for one; NaN lies within no bounds."""

    cdef bint ranged
    cdef double low, high, step
    cdef bint open_low, open_high

    def __init__(self, ge=None, gt=None, le=None, lt=None, multiple_of=None):
        self.bound_by("float", ge, gt, le, lt, multiple_of)
        self.ranged = any(bound is not None for bound in (ge, gt, le, lt))
        self.open_low, self.open_high = gt is not None, lt is not None
        self.low = float(gt if gt is not None else -math.inf if ge is None else ge)
        self.high = float(lt if lt is not None else math.inf if le is None else le)
        self.step = 0.0 if multiple_of is None else float(multiple_of)

    cdef Simple simple(self) noexcept:
        cdef Simple rule = no_rule()
        if self.bare:
            rule.type = <PyTypeObject*>float
        return rule

    cdef bint accepts(self, object value) except -1:
        return PyFloat_Check(value) or is_int(value)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        cdef double number
        if PyFloat_Check(value):
            if self.bare:
                return 0
            number = PyFloat_AS_DOUBLE(value)
            if (
                (not self.ranged or self.within(number))
                and (self.step == 0 or fmod(number, self.step) == 0)
            ):
                return 0
        elif not is_int(value):
            return wrong_type(self, value, at, report)
        elif self.bare:
            return 0
        return self.compare(value, at, report)

    cdef inline bint within(self, double number) noexcept:  # arithmetic only
        return (
            (number > self.low if self.open_low else number >= self.low)
            and (number < self.high if self.open_high else number <= self.high)
        )

    cdef int compare(self, object value, const Step* at, Report* report) except -1:
        """Compare an int exactly, and tell which bound a float broke."""
        cdef bint divides = True
        if self.out_of_range(value, at, report):
            return 1
        if self.multiple_of is not None:
            try:
                divides = fmod(<double>value, self.step) == 0
            except OverflowError:  # an int that no float can hold
                divides = False
        return 0 if divides else self.not_a_multiple(at, report)


cdef Lengths lengths_of(min_length, max_length):
    cdef Lengths lengths
    lengths.low = 0 if min_length is None else min_length
    lengths.high = -1 if max_length is None else max_length
    return lengths


@cython.final
cdef class StrNode(Node):
    cdef Lengths lengths                        # in code points
    cdef object search, pattern

    def __init__(self, min_length=None, max_length=None, pattern=None):
        self.label = "str"
        self.lengths = lengths_of(min_length, max_length)
        self.pattern = pattern
        self.search = None if pattern is None else re.compile(pattern).search

    cdef Simple simple(self) noexcept:
        cdef Simple rule = no_rule()
        if self.search is None:
            rule.type = <PyTypeObject*>str
            rule.low = self.lengths.low
            rule.high = INT64_MAX if self.lengths.high < 0 else self.lengths.high
        return rule

    cdef bint accepts(self, object value) except -1:
        return PyUnicode_Check(value)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        if not PyUnicode_Check(value):
            return wrong_type(self, value, at, report)
        if check_length(&self.lengths, PyUnicode_GET_LENGTH(value), self, at, report):
            return 1  # an overlong text never reaches the regular expression
        if self.search is None or self.search(value) is not None:
            return 0
        return report_error(
            report, at, "pattern", f"expected str matching regex {self.pattern!r}"
        )


@cython.final
cdef class BytesNode(Node):
    """bytes, bytearray or memoryview."""

    cdef object cls
    cdef Lengths lengths

    def __init__(self, cls, min_length=None, max_length=None):
        require_class(cls)
        self.cls = cls
        self.label = cls.__name__
        self.lengths = lengths_of(min_length, max_length)

    cdef bint accepts(self, object value) except -1:
        return is_instance(value, self.cls)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        if not is_instance(value, self.cls):
            return wrong_type(self, value, at, report)
        return check_length(&self.lengths, len(value), self, at, report)


@cython.final
cdef class MomentNode(Node):
    """A datetime or a time, with or without a timezone."""

    cdef object cls
    cdef bint aware

    def __init__(self, cls, bint aware):
        require_class(cls)
        self.cls = cls
        self.label = cls.__name__
        self.aware = aware

    cdef bint accepts(self, object value) except -1:
        return is_instance(value, self.cls)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        if not is_instance(value, self.cls):
            return wrong_type(self, value, at, report)
        if PyDateTime_Check(value):
            tzinfo = datetime_tzinfo(value)
        elif PyTime_Check(value):
            tzinfo = time_tzinfo(value)
        else:  # isinstance alone says that it is one
            tzinfo = getattr(value, "tzinfo", None)
        if (tzinfo is not None) == self.aware:
            return 0
        return report_error(
            report,
            at,
            "tz",
            f"expected {self.label} with {'a' if self.aware else 'no'} timezone",
        )


@cython.final
cdef class LiteralNode(Node):
    """One of some values: equal, and of the same kind (1 is not True)."""

    cdef tuple values

    def __init__(self, values):
        self.values = tuple(values)
        self.label = " | ".join(
            dict.fromkeys("None" if v is None else type(v).__name__ for v in values)
        )

    cdef bint accepts(self, object value) except -1:
        for allowed in self.values:
            if value is allowed or type(value) is type(allowed):
                return True
            if isinstance(value, type(allowed)) and not isinstance(value, bool):
                return True
        return False

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        for allowed in self.values:
            if value is allowed:
                return 0
            if (
                isinstance(value, type(allowed))
                and isinstance(value, bool) == isinstance(allowed, bool)
                and value == allowed
            ):
                return 0
        if not self.accepts(value):
            return wrong_type(self, value, at, report)
        allowed = ", ".join(map(repr, self.values))
        return report_error(report, at, "invalid", f"expected one of {allowed}")


constructed(NoneNode)
constructed(InstanceNode)
constructed(IntNode)
constructed(FloatNode)
constructed(StrNode)
constructed(BytesNode)
constructed(MomentNode)
constructed(LiteralNode)
internal(NumberNode)
