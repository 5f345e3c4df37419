"""What a pool misses at its end: builds for debugging say where it was acquired."""

from libc.stdint cimport uint32_t


cdef extern from "cqrs_fast/pools/missing.h":
    bint IS_DEBUG "CQRS_IS_DEBUG"


# Note where the Python code stands that called, as where this slot was lent.
cdef int remember(dict places, uint32_t slot) noexcept
# The slot came back. Neither fails: a loan does not depend on its place.
cdef int forget(dict places, uint32_t slot) noexcept
# Warn of what is in use at the pool's end; `places` says where it was acquired.
cdef int warn_of_missing(dict places, str end) except -1
