"""The closed set of outcomes a dispatch can have."""

from cpython.ref cimport PyObject


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
    OUTCOME_COUNT = 10


# The names, in the order above.
cdef tuple OUTCOMES

# The outcome that `error` stands for; NULL is OK.
cdef Outcome outcome_of(PyObject *error) noexcept
