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
    cdef RecordNode record         # None: no field can ever be wrong
    cdef object validator          # the class's own `validate`, or None

    # None for a valid message, without allocating anything (a `pattern` allocates its
    # match, and `validate()` what it likes); else up to max_errors (path, code, text).
    # Only an exception of user code is raised.
    cdef list run(self, object message, int max_errors)
    cdef list run_validator(self, object message, int max_errors)
