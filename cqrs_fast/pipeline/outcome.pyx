"""The closed set of outcomes a dispatch can have."""

from cqrs_fast.base.errstate cimport is_transparent

from cqrs_fast.errors import CQRSError

OUTCOMES = (
    "ok",
    "error",
    "timeout",
    "rejected_rate",
    "rejected_open",
    "rejected_bulkhead",
    "rejected_closed",
    "rejected_other",
    "invalid",
    "cancelled",
)


cdef Outcome outcome_of(PyObject *error) noexcept:
    if error == NULL:
        return OK
    if is_transparent(error):
        return CANCELLED
    if isinstance(<object>error, CQRSError):
        outcome = type(<object>error).outcome
        if outcome in OUTCOMES:
            return <Outcome><int>OUTCOMES.index(outcome)
    return ERROR
