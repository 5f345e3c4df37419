"""Check numbers: ints and floats within bounds."""

import math

cimport cython
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_Check
from cpython.object cimport PyTypeObject
from libc.math cimport fmod
from libc.stdint cimport INT64_MAX, INT64_MIN

from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.validation.checks cimport (
    Node,
    Report,
    Step,
    no_rule,
    report_error,
    wrong_type,
)
from cqrs_fast.validation.simple cimport Simple


cdef inline bint is_int(object value) noexcept:  # type tests only
    return PyLong_Check(value) and value is not True and value is not False


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


constructed(IntNode)
constructed(FloatNode)
internal(NumberNode)
