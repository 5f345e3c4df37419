"""Keys: what a dispatch has a bucket by."""

from libc.stdint cimport int64_t

from cqrs_fast.pipeline.frame cimport Frame
from cqrs_fast.policies.keyed_buckets cimport Bucket
from cqrs_fast.policies.token_bucket cimport TokenBucket

# What to write instead of an async key function.
cdef str INSTEAD

# "bus" or "principal", or "key" for a key function.
cdef str checked_scope(object scope, object function)
# What the key function returns; without one, the principal.
cdef object key_in(Frame *f, object function)
# The bucket of a key. Raises TypeError if that cannot be hashed.
cdef Bucket find_bucket(TokenBucket tokens, object key, int64_t now_ns, str scope)
