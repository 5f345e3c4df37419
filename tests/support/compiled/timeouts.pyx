"""Timeouts of the running task, as a dispatch has one, without the dispatch."""

from cqrs_fast.pipeline.timers cimport Entry, Timeout


def begun(due_ns):
    """Return one that is pending until `due_ns`."""
    cdef Timeout timeout = Timeout.__new__(Timeout)
    assert timeout.begin(due_ns, None, None)
    return timeout


def ended(Timeout timeout not None):
    timeout.end()


def pending(Timeout timeout not None):
    """Return when those are due that are in the same heap, in no order."""
    found = []
    walk(timeout.timers.nearest, found)
    return found


cdef int walk(Entry *entry, list found) except -1:
    while entry != NULL:
        found.append(entry.due_ns)
        walk(entry.child, found)
        entry = entry.following
    return 0
