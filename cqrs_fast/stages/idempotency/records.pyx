"""Records of commands by idempotency key: in progress, then with their outcome."""

from heapq import heapify, heappop, heappush

cimport cython
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport int64_t

from cqrs_fast.base.forks cimport on_fork
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.validation.keys cimport TypedKey
from cqrs_fast.waits.flight cimport Flight

from cqrs_fast.base.callbacks import log_unshared
from cqrs_fast.base.error_copies import detached_error
from cqrs_fast.errors import ResultTypeError

cdef str LASTING = "one that can be given twice, such as a list"
cdef str COPIED = "one that can be raised twice, of a Python class without __del__"
cdef str UNCOPIED = "which cannot be copied"
cdef str USED_UP = "which its first caller has used up"
UNREPEATABLE = ResultTypeError(LASTING, f"one {USED_UP}")


cdef enum:
    # The heap keeps up to this many outdated entries.
    SPARE = 64


@cython.final
cdef class Record:
    """What is known of one idempotency key."""


@cython.final
cdef class Attempt(Participant):
    """One dispatch with a key: it leads its record, or waits for another's."""


@cython.final
cdef class Records:
    """Records by key; one that has not expired is never dropped for another."""

    def __cinit__(self):
        self.known = {}
        self.due = []
        self.logged = set()
        on_fork(self)

    def _after_fork(self):
        cdef unsigned long here = PyThread_get_thread_ident()
        cdef Record record
        for record in list(self.known.values()):
            if record.progress == IN_PROGRESS and not record.flight.keep_only(here):
                self.remove(record)

    cdef Record find(self, TypedKey key, int64_t now_ns):
        cdef Record record = self.known.get(key)
        if record is None or record.expires_ns <= now_ns:
            return None
        return record

    cdef int skip_closed(self, Record record) except -1:
        cdef Flight flight = record.flight
        flight.skip_closed()
        if flight.closed and record.progress == IN_PROGRESS:
            self.remove(record)
        return 0

    cdef tuple due_of(self, Record record, int64_t expires_ns):
        self.number += 1
        return (expires_ns, self.number, record)

    cdef int insert(self, Record record, tuple due) except -1:
        # First what may fail: a record that nothing is due for would stay for ever.
        heappush(self.due, due)
        record.expires_ns = due[0]
        self.known[record.key] = record
        return 0

    cdef int complete(
        self, Record record, Progress progress, object outcome, int64_t expires_ns
    ) except -1:
        try:
            heappush(self.due, self.due_of(record, expires_ns))
            record.expires_ns = expires_ns
        except MemoryError:
            # It is kept for its lease, which it is in the heap for.
            pass
        record.flight = None
        record.outcome = outcome
        record.progress = progress
        return self.tidy()

    cdef object unrepeatable(self, str name, object outcome):
        kind = type(outcome).__name__
        once = name, isinstance(outcome, BaseException)
        if once not in self.logged:
            self.logged.add(once)
            log_unshared(name, outcome, "a duplicate gets an error")
        if once[1]:
            return ResultTypeError(COPIED, f"an error, a {kind}, {UNCOPIED}", name)
        return ResultTypeError(LASTING, f"a {kind}, {USED_UP}", name)

    cdef object detached(self, str name, object error):
        made = detached_error(error)
        return self.unrepeatable(name, error) if made is None else made

    cdef int remove(self, Record record) except -1:
        if self.holds(record):
            del self.known[record.key]
        return self.tidy()

    cdef bint holds(self, Record record) except -1:
        return self.known.get(record.key) is record

    cdef int evict(self, int64_t now_ns, int most) except -1:
        cdef list gone = []     # dropped at the end: that may run anything
        cdef Record record
        while self.due and len(gone) < most and (<tuple>self.due[0])[0] <= now_ns:
            item = heappop(self.due)
            record = item[2]
            if self.holds(record) and record.expires_ns <= now_ns:
                del self.known[record.key]
            gone.append(item)
        return len(gone)

    cdef int64_t next_ns(self) except? -1:
        cdef Record record
        while self.due:
            record = (<tuple>self.due[0])[2]
            if self.holds(record) and record.expires_ns == (<tuple>self.due[0])[0]:
                return record.expires_ns
            heappop(self.due)
        return 0

    cdef int tidy(self) except -1:
        """Leave outdated entries out of the heap once they are most of it."""
        cdef list kept
        cdef Record record
        if len(self.due) <= 2 * len(self.known) + SPARE:
            return 0
        try:
            kept = []
            for item in self.due:
                record = item[2]
                if self.holds(record) and record.expires_ns == item[0]:
                    kept.append(item)
            heapify(kept)
            self.due = kept
        except MemoryError:
            # The heap stays correct with its outdated entries.
            pass
        return 0


constructed(Records)
internal(Record)
internal(Attempt)
