"""KeyedBuckets: one token bucket for each key, as many as it may hold."""

from libc.stdint cimport int64_t

from cqrs_fast.policies.core.token_bucket cimport cqrs_bucket
from cqrs_fast.policies.lru_cache cimport LRUCache


cdef class Bucket:
    cdef cqrs_bucket state
    cdef object key
    # What its user keeps with it (who waits for a token, say); while there is something
    # the bucket is not evicted.
    cdef object attached
    cdef int64_t full_ns        # full no earlier than that; the heap is ordered by it


cdef class KeyedBuckets:
    cdef readonly int64_t max_keys
    cdef readonly int64_t overflowed    # how often a key found no room
    cdef Bucket overflow                # what all keys without room share
    cdef LRUCache buckets               # key: Bucket; for its table, which takes all
    cdef list heap                      # the same, the one first that fills up first

    # The bucket to take from for this key, before any other code runs.
    cdef Bucket find(self, object key, int64_t now_ns)
    # The bucket that this key would take from, without making one.
    cdef Bucket peek(self, object key)
    cdef list all(self)
    # After the credit of any was raised: all of them may be full by now.
    cdef int forget_order(self) noexcept
    # Give all of them another rate; their credit keeps its share.
    cdef int reshape(
        self, int64_t now_ns, int64_t limit, int64_t cost, int64_t burst
    ) noexcept

    cdef Bucket bucket_of(self, int64_t id)
    cdef Bucket keep(self, object key, Bucket bucket)
    cdef Bucket add(self, object key, int64_t now_ns)
    cdef Bucket full_one(self, int64_t now_ns)
    cdef int evict(self, Bucket full) except -1
    cdef int push(self, Bucket bucket) except -1
    cdef int sift_down(self) except -1
