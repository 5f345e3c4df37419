"""Judging: what a result or an error says about the health of what was called."""

from cpython.ref cimport PyObject


# One of the outcomes of core/circuit_breaker.h, by the settings that
# circuit_state.check returned. Either `result` or `error` is NULL; errors of
# `domain_errors` are successes; `name` is for the report of a callback that raises.
cdef int judge(
    object checked, str name, PyObject *result, PyObject *error, tuple domain_errors
) except -1
