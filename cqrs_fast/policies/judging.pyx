"""Judging: what a result or an error says about the health of what was called."""

from cpython.ref cimport PyObject

from cqrs_fast.base.error_kinds cimport is_deterministic, is_domain, is_group, leaves_of
from cqrs_fast.policies.core.circuit_breaker cimport (
    CQRS_BREAKER_ANSWERED, CQRS_BREAKER_FAILURE, CQRS_BREAKER_IGNORED,
    CQRS_BREAKER_SUCCESS,
)

from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.errors import ContextCancelledError, RejectedError

# Nobody answered: the call inside was rejected or given up.
cdef tuple UNANSWERED = (RejectedError, ContextCancelledError)


cdef int judge(
    object checked, str name, PyObject *result, PyObject *error, tuple domain_errors
) except -1:
    cdef bint failed
    if error != NULL:
        if not isinstance(<object>error, Exception):
            return CQRS_BREAKER_IGNORED
        if is_domain(error, domain_errors):
            return CQRS_BREAKER_SUCCESS
    # A callback or a class that raises makes it a failure.
    try:
        if error != NULL and isinstance(<object>error, checked.ignored):
            if isinstance(<object>error, UNANSWERED):
                return CQRS_BREAKER_IGNORED
            return CQRS_BREAKER_ANSWERED
        if checked.settings.is_failure is not None:
            failed = checked.settings.is_failure(
                None if result == NULL else <object>result,
                None if error == NULL else <object>error,
            )
        elif error == NULL:
            failed = False
        elif is_group(error) and not names_group(checked, <object>error):
            return judge_members(checked, name, <object>error, domain_errors)
        else:
            failed = isinstance(<object>error, checked.failure_on)
            if failed and checked.spares:
                failed = not is_deterministic(<object>error)
    except Exception as raised:
        report_callback_error("is_failure", name or "a breaker", raised)
        failed = True
    if failed:
        return CQRS_BREAKER_FAILURE
    return CQRS_BREAKER_SUCCESS if error == NULL else CQRS_BREAKER_ANSWERED


cdef bint names_group(object checked, object group) except -1:
    """Whether `failure_on` was given and has a class of the group itself."""
    return checked.settings.failure_on is not None and isinstance(
        group, checked.failure_on
    )


cdef int judge_members(
    object checked, str name, object group, tuple domain_errors
) except -1:
    """Return the outcome of an exception group: any failure in it makes it one."""
    cdef bint answered = False
    cdef int outcome
    for member in leaves_of(group):
        outcome = judge(checked, name, NULL, <PyObject *>member, domain_errors)
        if outcome == CQRS_BREAKER_FAILURE:
            return outcome
        answered |= outcome != CQRS_BREAKER_IGNORED
    return CQRS_BREAKER_ANSWERED if answered else CQRS_BREAKER_IGNORED
