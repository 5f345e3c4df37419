"""Forks: a child process drops the state of the threads of its parent.

A child starts with a copy of all objects and with one thread, the one that forked. The
work of the other threads (counted calls, permits, shared runs, places in a line) would
never end there, so its owners drop it in the child, before `os.fork` returns. The calls
of the forking thread continue; `fork_count` shows them that they are no longer counted.
"""

import os

from weakref import WeakSet

from libc.stdint cimport uint32_t

cdef uint32_t fork_count = 0
cdef object notified = WeakSet()


cdef int on_fork(object one) except -1:
    notified.add(one)
    return 0


def notify_of_forks(one):
    """Call `one._after_fork()` in each child that is forked while `one` lives."""
    on_fork(one)


def begin_child():
    """Count a fork and drop the state of the other threads; runs in the child."""
    global fork_count
    fork_count += 1
    for one in list(notified):
        one._after_fork()


# Missing on systems without fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=begin_child)
