"""Hash and equality of the keys that callers give, for the table of lru.h."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from cqrs_fast.policies.core.lru cimport LruNode


cdef extern from "cqrs_fast/policies/core/dict_keys.h":
    ctypedef struct HashSecret "cqrs_hash_secret":
        uint64_t addend, factor

    # 32 bits; -1: an exception.
    int64_t key_hash "cqrs_key_hash"(PyObject *key, const HashSecret *) except -1
    int key_equal "cqrs_dict_equal"(const LruNode *, PyObject *, PyObject *) noexcept
