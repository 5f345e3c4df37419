"""Compile the annotations of a message class into one check.

A stage compiles a MessageCheck at registration and runs it per dispatch:

    errors = check.run(message, 32)
    if errors is not None:
        raise ValidationError(errors, name)
"""

cimport cython

from cqrs_fast.validation.record_nodes cimport RecordNode


@cython.final
cdef class MessageCheck:
    cdef readonly object cls         # the class it was compiled for
    cdef RecordNode record           # None: every value of every field is valid
    cdef object validator            # the class's own `validate`, or None

    # None for a valid message, without an allocation (but for a `pattern` or a
    # `validate()`); else up to max_errors (path, code, text). Raises only what user
    # code raises.
    cdef list run(self, object message, int max_errors)
    cdef list run_validator(self, object message, int max_errors)
