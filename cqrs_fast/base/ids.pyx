"""Ids that no other process makes."""

from libc.stdint cimport uint32_t, uint64_t

from cqrs_fast.base.forks cimport fork_count

from os import urandom

# What ids of this process begin with, made anew after a fork; and how many there are.
cdef str id_start = None
cdef uint32_t id_forks = 0
cdef uint64_t id_count = 0


cdef str new_id():
    global id_start, id_forks, id_count
    if id_start is None or id_forks != fork_count:
        id_start, id_forks, id_count = urandom(8).hex(), fork_count, 0
    id_count += 1
    return f"{id_start}-{id_count}"
