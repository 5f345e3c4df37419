"""Records of commands by idempotency key: in progress, then with their outcome."""

from libc.stdint cimport int64_t, uint64_t

from cqrs_fast.validation.keys cimport TypedKey
from cqrs_fast.waits.flight cimport Flight, Participant


cdef enum Progress:
    IN_PROGRESS = 0
    SUCCEEDED = 1           # `outcome` is the result
    ENDED_FINALLY = 2       # `outcome` is an exception to copy, which holds no frames


cdef class Record:
    cdef TypedKey key
    cdef object fingerprint
    cdef Progress progress
    cdef object outcome
    cdef int64_t expires_ns     # of the lease, then of what is kept
    cdef Flight flight          # to wait for it while it is in progress


cdef class Attempt(Participant):
    """One dispatch with a key: it leads its record, or waits for another's."""

    cdef TypedKey key
    cdef object fingerprint
    cdef Record record          # that it leads, or None


# What is kept in the place of a result that its first use consumes, where there is no
# memory for one that names its command.
cdef object UNREPEATABLE


cdef class Records:
    cdef dict known             # TypedKey -> Record
    cdef list due               # a heap of (expires_ns, number, record), some outdated
    cdef int64_t number
    cdef set logged             # (name, is_error) of what was logged as unrepeatable
    cdef object __weakref__

    # The record that is in force, or None.
    cdef Record find(self, TypedKey key, int64_t now_ns)
    # Let nobody wait for one whose event loop is closed; runs code of that loop.
    cdef int skip_closed(self, Record record) except -1
    # Put it in, in place of an expired one of the same key. Runs no Python code.
    cdef int insert(self, Record record, tuple due) except -1
    cdef tuple due_of(self, Record record, int64_t expires_ns)
    # It ended with an outcome to keep until then.
    cdef int complete(
        self, Record record, Progress progress, object outcome, int64_t expires_ns
    ) except -1
    # The error for duplicates if the result is used up or the error has no copies; logs
    # it once for each command.
    cdef object unrepeatable(self, str name, object outcome)
    # A copy of an error without frames, or the error of `unrepeatable`.
    cdef object detached(self, str name, object error)
    cdef int remove(self, Record record) except -1
    cdef bint holds(self, Record record) except -1
    # Remove what has expired, at most so many; how many that were.
    cdef int evict(self, int64_t now_ns, int most) except -1
    cdef int tidy(self) except -1
    # When the first of them expires.
    cdef int64_t next_ns(self) except? -1
