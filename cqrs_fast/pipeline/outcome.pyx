"""The closed set of outcomes a dispatch can have."""

from cpython.ref cimport PyObject

from cqrs_fast.base.error_kinds cimport is_domain
from cqrs_fast.base.errstate cimport is_transparent
from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.pipeline.route cimport Route

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
    "domain",
)


cdef Outcome outcome_of(Frame *f) noexcept:
    cdef PyObject *error = f.error
    if error == NULL:
        return OK
    if is_transparent(error):
        return CANCELLED
    if isinstance(<object>error, CQRSError):
        outcome = type(<object>error).outcome
        if outcome in OUTCOMES:
            return <Outcome><int>OUTCOMES.index(outcome)
    if is_domain(error, (<Route>f.route).gate.domain_errors):
        return DOMAIN
    return ERROR
