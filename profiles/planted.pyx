"""The planted stage once more, compiled: as one writes it first, and as it should be.

It is only translated, not built: `python -m profiles.annotate profiles/planted.pyx`.
"""

from libc.stdint cimport uint8_t

from cqrs_fast.pipeline cimport PROCEED, Frame, Stage

cdef enum:
    WINDOW = 100


cdef class SlowFailures(Stage):
    cdef readonly list calls
    cdef readonly long failed

    def __cinit__(self):
        self.calls = []

    cdef int leave(self, Frame *f) except -1:
        # hot
        self.calls.append({"failed": f.error != NULL})
        recent = self.calls[-WINDOW:]
        self.failed = sum([entry["failed"] for entry in recent])
        return PROCEED


cdef class Failures(Stage):
    cdef uint8_t recent[WINDOW]
    cdef int place
    cdef readonly long failed

    cdef int leave(self, Frame *f) except -1:
        # hot
        cdef uint8_t failed = f.error != NULL
        self.failed += <int>failed - self.recent[self.place]
        self.recent[self.place] = failed
        self.place = (self.place + 1) % WINDOW
        return PROCEED
