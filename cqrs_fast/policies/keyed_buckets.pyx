"""KeyedBuckets: one token bucket for each key, as many as it may hold.

Only a full bucket may make room for another key: to forget one that is partly spent
would hand its key a fresh burst. Where no bucket is full, keys without one share the
overflow bucket, and a new bucket begins with the credit of that one, for its key may be
what spent it.

The full one is found through a heap of the times at which the buckets fill up. A take
only makes such a time later, and is put right when its bucket comes to the top: one
lookup costs no more than the takes that went before it.
"""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport INT64_MIN, int64_t, uint32_t, uint64_t

from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.policies.core.dict_keys cimport key_equal, key_hash
from cqrs_fast.policies.core.lru cimport (
    LRU_MOST, LRU_NEVER, Lru, lru_find, lru_first, lru_insert, lru_next, lru_release,
)
from cqrs_fast.policies.core.token_bucket cimport (
    bucket_copy, bucket_full_at, bucket_init, bucket_remaining, bucket_reshape,
    cqrs_bucket,
)
from cqrs_fast.policies.lru_cache cimport LRUCache, hash_secret


@cython.final
cdef class Bucket:
    """The bucket of one key."""

    def __cinit__(self):
        bucket_init(&self.state, 1, 1, 1)


@cython.final
cdef class KeyedBuckets:
    """One token bucket for each key, at most `max_keys` of them.

    `like` is the bucket that every other one begins as.
    """

    def __cinit__(self, Bucket like not None, int64_t max_keys):
        self.max_keys = max_keys
        self.buckets = LRUCache(LRU_MOST)
        self.heap = []
        self.overflow = Bucket.__new__(Bucket)
        bucket_copy(&self.overflow.state, &like.state, INT64_MIN)

    def __len__(self):
        return self.buckets.table.size

    cdef Bucket find(self, object key, int64_t now_ns):
        cdef int64_t found = self.buckets.find(key)
        return self.add(key, now_ns) if found == 0 else self.bucket_of(found)

    cdef Bucket peek(self, object key):
        # A new bucket would begin as the overflow one is.
        cdef int64_t found = self.buckets.find(key)
        return self.overflow if found == 0 else self.bucket_of(found)

    cdef Bucket bucket_of(self, int64_t id):
        return <Bucket>self.buckets.table.nodes[id].value

    cdef list all(self):
        return [self.overflow, *self.buckets.values()]

    cdef Bucket keep(self, object key, Bucket bucket):
        """Put a bucket in unless its key has one; return the one that is in."""
        cdef Lru *table = &self.buckets.table
        cdef uint32_t hash = <uint32_t>key_hash(<PyObject *>key, &hash_secret)
        cdef int64_t found = lru_find(table, hash, <PyObject *>key, NULL, key_equal)
        cdef uint64_t unused = 0
        if found:
            return self.bucket_of(found)
        if not lru_insert(
            table, hash, 0, <PyObject *>key, NULL, <PyObject *>bucket, NULL,
            LRU_NEVER, 0, &unused,
        ):
            raise MemoryError
        lru_release(table)
        return bucket

    cdef Bucket add(self, object key, int64_t now_ns):
        cdef Bucket bucket, full
        while self.buckets.table.size >= self.max_keys:
            full = self.full_one(now_ns)
            if full is None:
                self.overflowed += 1
                return self.overflow
            self.evict(full)
        bucket = Bucket.__new__(Bucket)
        bucket.key = key
        bucket.full_ns = now_ns
        found = self.keep(key, bucket)
        if found is bucket:
            # Only now: until it was in, users' code ran, and the rate may have changed.
            bucket_copy(&bucket.state, &self.overflow.state, now_ns)
            self.push(bucket)
        return found

    cdef Bucket full_one(self, int64_t now_ns):
        """Return a bucket that is full now, at the top of the heap, or None."""
        cdef Bucket first
        cdef int64_t full_ns
        while self.heap:
            first = <Bucket>self.heap[0]
            full_ns = bucket_full_at(&first.state)
            if first.attached is not None:
                full_ns = max(full_ns, now_ns + 1)
            if full_ns <= now_ns:
                return first
            if full_ns <= first.full_ns:
                return None
            first.full_ns = full_ns
            self.sift_down()
        return None

    cdef int evict(self, Bucket full) except -1:
        """Remove the first of the heap, unless somebody takes from it meanwhile."""
        cdef Bucket last = self.heap.pop()
        if self.heap:
            self.heap[0] = last
            self.sift_down()
        cdef int64_t full_ns = bucket_full_at(&full.state)
        # A key's own __hash__ and __eq__ may run any code here.
        try:
            found = self.buckets.pop(full.key, None)
        except BaseException:
            self.push(full)
            raise
        if found is full and full.attached is None:
            if bucket_full_at(&full.state) == full_ns:
                # Time must not go back for its key either.
                bucket_remaining(&self.overflow.state, full.state.last_ns)
                return 0
        if found is not None:
            self.keep((<Bucket>found).key, <Bucket>found)
            follow_rate(<Bucket>found, self.overflow)
        if found is full:
            self.push(full)
        return 0

    cdef int push(self, Bucket bucket) except -1:
        cdef list heap = self.heap
        cdef Py_ssize_t at = len(heap)
        cdef Py_ssize_t above
        heap.append(bucket)
        while at > 0:
            above = (at - 1) >> 1
            if (<Bucket>heap[above]).full_ns <= bucket.full_ns:
                break
            heap[at] = heap[above]
            at = above
        heap[at] = bucket
        return 0

    cdef int sift_down(self) except -1:
        """Move the first of the heap to where it belongs."""
        cdef list heap = self.heap
        cdef Bucket moved = <Bucket>heap[0]
        cdef Py_ssize_t size = len(heap)
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t below = 1
        while below < size:
            if below + 1 < size and (
                (<Bucket>heap[below + 1]).full_ns < (<Bucket>heap[below]).full_ns
            ):
                below += 1
            if moved.full_ns <= (<Bucket>heap[below]).full_ns:
                break
            heap[at] = heap[below]
            at = below
            below = 2 * at + 1
        heap[at] = moved
        return 0

    cdef int forget_order(self) noexcept:
        cdef Bucket bucket
        for bucket in self.heap:
            bucket.full_ns = INT64_MIN
        return 0

    cdef int reshape(
        self, int64_t now_ns, int64_t limit, int64_t cost, int64_t burst
    ) noexcept:
        cdef Bucket bucket
        cdef uint32_t id = lru_first(&self.buckets.table)
        while id:
            bucket = <Bucket>self.buckets.table.nodes[id].value
            bucket_reshape(&bucket.state, now_ns, limit, cost, burst)
            id = lru_next(&self.buckets.table, id)
        bucket_reshape(&self.overflow.state, now_ns, limit, cost, burst)
        return self.forget_order()


cdef int follow_rate(Bucket bucket, Bucket like) noexcept:
    """Give it the rate of another, which changed while it was out of the table."""
    cdef cqrs_bucket *rate = &like.state
    if (
        bucket.state.limit != rate.limit
        or bucket.state.cost != rate.cost
        or bucket.state.cap != rate.cap
    ):
        bucket_reshape(
            &bucket.state, INT64_MIN, rate.limit, rate.cost, rate.cap // rate.cost
        )
    return 0


constructed(KeyedBuckets)
internal(Bucket)
