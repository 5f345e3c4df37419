"""The closed set of outcomes a dispatch can have."""

from cqrs_fast.pipeline.frame cimport Frame


cdef enum Outcome:
    OK = 0
    ERROR = 1
    TIMEOUT = 2
    REJECTED_RATE = 3
    REJECTED_OPEN = 4
    REJECTED_BULKHEAD = 5
    REJECTED_CLOSED = 6
    REJECTED_OTHER = 7
    INVALID = 8
    CANCELLED = 9
    DOMAIN = 10
    OUTCOME_COUNT = 11


# The names, in the order above.
cdef tuple OUTCOMES

# The outcome that an error of a route stands for; NULL is OK.
cdef Outcome outcome_of(Frame *f) noexcept
