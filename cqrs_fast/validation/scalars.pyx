"""Check single values that are no numbers: texts, bytes, moments, choices, classes."""

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
from cpython.object cimport PyTypeObject
from cpython.unicode cimport PyUnicode_Check, PyUnicode_GET_LENGTH
from libc.stdint cimport INT64_MAX

from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.validation.check_ops cimport check_length, is_instance
from cqrs_fast.validation.checks cimport (
    Lengths,
    Node,
    Report,
    Step,
    lengths_of,
    no_rule,
    report_error,
    require_class,
    wrong_type,
)
from cqrs_fast.validation.simple cimport Simple


import_datetime()

# As they are in C, whatever stands for them in the module (freezegun swaps it).
DATETIME = <object>PyDateTimeAPI.DateTimeType
DATE = <object>PyDateTimeAPI.DateType
TIME = <object>PyDateTimeAPI.TimeType
TIMEDELTA = <object>PyDateTimeAPI.DeltaType


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


constructed(InstanceNode)
constructed(StrNode)
constructed(BytesNode)
constructed(MomentNode)
constructed(LiteralNode)
