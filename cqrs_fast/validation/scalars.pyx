"""Check single values: numbers, texts, bytes, moments, choices, classes."""

import math
import re

cimport cython
from cpython.datetime cimport (
    PyDateTimeAPI, PyDateTime_Check, PyTime_Check, datetime_tzinfo, import_datetime,
    time_tzinfo,
)
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_Check
from cpython.object cimport PyTypeObject
from cpython.unicode cimport PyUnicode_Check, PyUnicode_GET_LENGTH
from libc.math cimport fmod
from libc.stdint cimport INT64_MAX, INT64_MIN

from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.validation.check_ops cimport check_length, is_instance
from cqrs_fast.validation.checks cimport (
    Lengths, Node, Report, Simple, Step, lengths_of, no_rule, report_error, wrong_type,
)


import_datetime()

# As they are in C, whatever replaces them in the module (freezegun does).
DATETIME = <object>PyDateTimeAPI.DateTimeType
DATE = <object>PyDateTimeAPI.DateType
TIME = <object>PyDateTimeAPI.TimeType
TIMEDELTA = <object>PyDateTimeAPI.DeltaType


cdef inline bint is_int(object value) noexcept:  # type tests only
    return PyLong_Check(value) and value is not True and value is not False


cdef class NumberNode(Node):
    """What int and float share: the bounds as Python objects, compared exactly."""

    cdef readonly object ge, gt, le, lt, multiple_of
    cdef bint bare                              # there is only the type to check

    def __init__(self, ge=None, gt=None, le=None, lt=None, multiple_of=None):
        self.ge, self.gt, self.le, self.lt = ge, gt, le, lt
        self.multiple_of = multiple_of
        self.bare = all(b is None for b in (ge, gt, le, lt, multiple_of))
        self.prepare()

    cdef int prepare(self) except -1:
        """Set the label and the bounds in C."""
        return 0

    cdef bint is_multiple(self, object value) except -1:
        return True

    cdef int compare(self, object value, const Step* at, Report* report) except -1:
        """Compare exactly, in the order in which errors are reported."""
        cdef str code, sign
        if self.ge is not None and not value >= self.ge:
            code, sign, bound = "ge", ">=", self.ge
        elif self.gt is not None and not value > self.gt:
            code, sign, bound = "gt", ">", self.gt
        elif self.le is not None and not value <= self.le:
            code, sign, bound = "le", "<=", self.le
        elif self.lt is not None and not value < self.lt:
            code, sign, bound = "lt", "<", self.lt
        elif self.multiple_of is None or self.is_multiple(value):
            return 0
        else:
            code, sign, bound = "multiple_of", "that is a multiple of", self.multiple_of
        return report_error(report, at, code, f"expected {self.label} {sign} {bound}")


@cython.final
cdef class IntNode(NumberNode):
    """An int but no bool; bounds outside int64 are compared as Python objects."""

    cdef bint exact
    cdef long long low, high, step    # inclusive; step 0: no multiple_of

    cdef int prepare(self) except -1:
        self.label = "int"
        self.exact = any(
            bound is not None
            and not (type(bound) is int and INT64_MIN < bound < INT64_MAX)
            for bound in (self.ge, self.gt, self.le, self.lt, self.multiple_of)
        )
        self.low, self.high, self.step = INT64_MIN, INT64_MAX, 0
        if self.exact:
            return 0
        if self.ge is not None:
            self.low = self.ge
        if self.gt is not None:
            self.low = max(self.low, <long long>self.gt + 1)
        if self.le is not None:
            self.high = self.le
        if self.lt is not None:
            self.high = min(self.high, <long long>self.lt - 1)
        if self.multiple_of is not None:
            self.step = self.multiple_of
        return 0

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

    cdef bint is_multiple(self, object value) except -1:
        return value % self.multiple_of == 0


@cython.final
cdef class FloatNode(NumberNode):
    """A float, or an int in its place; NaN lies within no bounds."""

    cdef bint ranged
    cdef double low, high, step
    cdef bint open_low, open_high

    cdef int prepare(self) except -1:
        self.label = "float"
        self.open_low, self.open_high = self.gt is not None, self.lt is not None
        low = self.gt if self.open_low else self.ge
        high = self.lt if self.open_high else self.le
        self.ranged = low is not None or high is not None
        self.low = float(-math.inf if low is None else low)
        self.high = float(math.inf if high is None else high)
        self.step = 0.0 if self.multiple_of is None else float(self.multiple_of)
        return 0

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

    cdef bint is_multiple(self, object value) except -1:
        cdef bint found = False
        try:
            found = fmod(<double>value, self.step) == 0
        except OverflowError:  # an int beyond all floats
            pass
        return found

    cdef inline bint within(self, double number) noexcept:  # arithmetic only
        return (
            (number > self.low if self.open_low else number >= self.low)
            and (number < self.high if self.open_high else number <= self.high)
        )


@cython.final
cdef class NoneNode(Node):
    def __init__(self):
        self.label = "None"

    cdef bint accepts(self, object value) except -1:
        return value is None


@cython.final
cdef class InstanceNode(Node):
    """A class that is checked by `isinstance` alone."""

    def __init__(self, cls):
        self.set_class(cls)
        isinstance(None, cls)  # TypeError for a class that does not support it

    cdef Simple simple(self) noexcept:
        cdef Simple rule = no_rule()
        rule.type = <PyTypeObject*>self.cls
        return rule


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
            return 1  # too long a text never reaches the regular expression
        if self.search is None or self.search(value) is not None:
            return 0
        expected = f"expected str matching regex {self.pattern!r}"
        return report_error(report, at, "pattern", expected)


@cython.final
cdef class BytesNode(Node):
    """bytes, bytearray or memoryview."""

    cdef Lengths lengths

    def __init__(self, cls, min_length=None, max_length=None):
        self.set_class(cls)
        self.lengths = lengths_of(min_length, max_length)

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        if not is_instance(value, self.cls):
            return wrong_type(self, value, at, report)
        return check_length(&self.lengths, len(value), self, at, report)


@cython.final
cdef class MomentNode(Node):
    """A datetime or a time, with or without a timezone."""

    cdef bint aware

    def __init__(self, cls, bint aware):
        self.set_class(cls)
        self.aware = aware

    cdef int check(self, object value, const Step* at, Report* report) except -1:
        if not is_instance(value, self.cls):
            return wrong_type(self, value, at, report)
        if PyDateTime_Check(value):
            tzinfo = datetime_tzinfo(value)
        elif PyTime_Check(value):
            tzinfo = time_tzinfo(value)
        else:  # only isinstance accepts it
            tzinfo = getattr(value, "tzinfo", None)
        if (tzinfo is not None) == self.aware:
            return 0
        expected = f"expected {self.label} with {'a' if self.aware else 'no'} timezone"
        return report_error(report, at, "tz", expected)


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


constructed(IntNode)
constructed(FloatNode)
internal(NumberNode)
constructed(NoneNode)
constructed(InstanceNode)
constructed(StrNode)
constructed(BytesNode)
constructed(MomentNode)
constructed(LiteralNode)
