"""Forks: what a child process forgets of the threads that only its parent has."""

from libc.stdint cimport uint32_t


# How many forks lie between this process and the one that imported the package. What
# was counted under another number is the parent's, and is not counted any more.
cdef uint32_t fork_count

# Call `one._after_fork()` in each child that is forked while it lives.
cdef int on_fork(object one) except -1
