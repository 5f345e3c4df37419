"""Compile the annotations of a message class into one check."""

import types
from typing import get_origin

cimport cython

from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.validation.checks cimport find_errors
from cqrs_fast.validation.record_nodes cimport RecordNode

from cqrs_fast.errors import ValidationError


def compile_check(message):
    """Return the check of a message class, or None if every message is valid.

    A generic class may have its arguments: `compile_check(GetPage[int])`.

    Raises TypeError, naming the class and the annotation, if an annotation cannot be
    resolved or checked, or carries a constraint that its type cannot have.
    """
    # Only at registration: this import costs more than the rest of the package.
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
    cdef MessageCheck check = MessageCheck.__new__(MessageCheck)
    check.cls, check.record, check.validator = cls, record, validator
    return check


def own_validator(cls):
    """Return `validate` if it is a plain method of `self` alone, else None."""
    from inspect import Parameter, iscoroutinefunction, isgeneratorfunction, signature

    owners = (vars(base) for base in cls.__mro__)
    function = next((own["validate"] for own in owners if "validate" in own), None)
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


@cython.final
cdef class MessageCheck:
    """Find the errors of messages of one class; made by `compile_check`."""

    def __init__(self):
        raise TypeError("a MessageCheck is made by compile_check(cls)")

    def errors_of(self, message, int max_errors=32):
        """Return the (path, code, message) errors of a message, at most max_errors."""
        if max_errors < 1:
            raise ValueError(f"max_errors must be at least 1, got {max_errors}")
        errors = self.run(message, max_errors)
        return [] if errors is None else errors

    cdef list run(self, object message, int max_errors):
        cdef list errors = None
        if self.record is not None:
            errors = find_errors(self.record, message, max_errors)
        if errors is None and self.validator is not None:
            errors = self.run_validator(message, max_errors)
        return errors

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
