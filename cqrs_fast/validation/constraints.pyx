"""Compile the annotations of a message class into one check."""

import types
from typing import get_origin

cimport cython
from cpython.ref cimport Py_XDECREF

from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.validation.checks cimport STEP_ROOT, Report, Step
from cqrs_fast.validation.record_nodes cimport RecordNode

from cqrs_fast.errors import ValidationError


def compile_check(message):
    """Return the check of a message class, or None where nothing can ever be wrong.

    A generic class may have its arguments: `compile_check(GetPage[int])`.

    Raises TypeError, naming the class and the annotation, where an annotation cannot be
    resolved or checked, or carries a constraint that its type cannot have.
    """
    # At registration only: it costs more to import than the rest of the package.
    from cqrs_fast.validation.annotations import Compiler
    from cqrs_fast.validation.records import is_record

    cdef RecordNode record = None
    cls = get_origin(message) or message
    validator = own_validator(cls)
    if is_record(cls) and not issubclass(cls, dict):
        record = Compiler(cls).record(message)
        if {field.node for field in record.fields} <= {None}:
            record = None
    if record is None and validator is None:
        return None
    return new_check(cls, record, validator)


def own_validator(cls):
    """Return `validate` where it is a plain method of `self` alone, else None."""
    from inspect import Parameter, iscoroutinefunction, isgeneratorfunction, signature

    for base in cls.__mro__:
        if "validate" in vars(base):
            function = vars(base)["validate"]
            break
    else:
        return None
    if not isinstance(function, types.FunctionType):
        return None
    if iscoroutinefunction(function) or isgeneratorfunction(function):
        return None
    parameters = list(signature(function).parameters.values())
    if len(parameters) == 1 and parameters[0].kind in (
        Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD
    ):
        return function
    return None


cdef MessageCheck new_check(cls, RecordNode record, validator):
    cdef MessageCheck check = MessageCheck.__new__(MessageCheck)
    check.cls = cls
    check.record = record
    check.validator = validator
    return check


@cython.final
cdef class MessageCheck:
    """All that can be wrong with a message of one class; made by `compile_check`."""

    def __init__(self):
        raise TypeError("a MessageCheck is made by compile_check(cls)")

    def errors_of(self, message, int max_errors=32):
        """Return the (path, code, message) errors of a message, at most max_errors."""
        if max_errors < 1:
            raise ValueError(f"max_errors must be at least 1, got {max_errors}")
        errors = self.run(message, max_errors)
        return [] if errors is None else errors

    cdef list run(self, object message, int max_errors):
        cdef Step root
        cdef Report report
        if self.record is not None:
            root.up, root.name, root.index, root.depth = NULL, NULL, STEP_ROOT, 0
            report.errors, report.count, report.limit = NULL, 0, max_errors
            try:
                if self.record.check(message, &root, &report):
                    return <list>report.errors
            finally:
                Py_XDECREF(report.errors)
        if self.validator is not None:
            return self.run_validator(message, max_errors)
        return None

    cdef list run_validator(self, object message, int max_errors):
        cdef list errors = None
        try:
            self.validator(message)
        except ValidationError as error:
            errors = list(error.errors)[:max_errors]
        except ValueError as error:
            errors = [("$", "invalid", str(error))]
        return errors


constructed(MessageCheck)
