"""Forks: what a child process forgets of the threads that only its parent has.

A child begins with a copy of everything and with one thread, the one that forked. What
the others had begun (calls that are counted, permits, runs that others wait for, places
in a line) would never end there, so whoever keeps such things drops them in the child,
before `os.fork` returns. The calls that the forking thread is in go on; they see by
`fork_count` that they are not counted any more.
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
    """Count a fork and let everything forget the other threads; runs in the child."""
    global fork_count
    fork_count += 1
    for one in list(notified):
        one._after_fork()


# Missing where there is no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=begin_child)
