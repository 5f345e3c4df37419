"""The program of a route: its stages as the walk sees them."""

from cpython.ref cimport PyObject

from cqrs_fast.pipeline.frame cimport Frame


ctypedef int (*StageCall)(PyObject *stage, Frame *f) noexcept


cdef enum Reading:
    COUNTED = 0             # of the system clock, by the processor's counter
    EXACT = 1               # of the system clock
    OTHER = 2               # of a clock that was given, such as a manual one


cdef struct Step:
    # A stage as the walk sees it, side by side with the next one.
    PyObject *stage             # borrowed
    StageCall enter, leave       # NULL: it has nothing to say there
    Step *inward                # itself, or the first further in that has an enter …
    Step *outward               # the first further out that looks at a result, or NULL
    int slot                    # which of the frame's is its own, -1 for none
    bint skips_results
