"""Forks: a child process drops the state of the threads of its parent."""

from libc.stdint cimport uint32_t


# The number of forks between this process and the one that imported the package. A
# count made under another number belongs to the parent and is void.
cdef uint32_t fork_count

# Call `one._after_fork()` in each child that is forked while `one` lives.
cdef int on_fork(object one) except -1
