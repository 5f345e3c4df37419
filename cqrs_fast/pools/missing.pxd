"""What a pool misses at its end: builds for debugging say where it was acquired."""


cdef extern from "cqrs_fast/pools/missing.h":
    bint IS_DEBUG "CQRS_IS_DEBUG"


# Where the Python code stands that called.
cdef object caller()
# Warn of what is in use at the pool's end; `places` says where it was acquired.
cdef int warn_of_missing(dict places, str end) except -1
