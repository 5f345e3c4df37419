"""CacheCore: the state of one CachingMiddleware, shared by its routes."""

from libc.stdint cimport int64_t, uint64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.context cimport Context
from cqrs_fast.stages.caching.loads cimport Load, Loads
from cqrs_fast.stages.caching.query_cache cimport QueryCache, Random
from cqrs_fast.stages.caching.settings cimport CacheSettings
from cqrs_fast.validation.key_plan cimport KeyPlan


cdef class StoredError:
    cdef object error           # holds no frames; a copy of it is raised


cdef class CacheCore:
    cdef CacheSettings config           # swapped as a whole
    cdef uint64_t era                   # counts what keys were made by otherwise
    cdef QueryCache cache
    cdef Loads loads
    cdef Clock clock                    # None is the system clock
    cdef Random random
    cdef dict ttls                      # address of a class: (class, ns)
    cdef uint64_t hits, misses, bypasses
    cdef uint64_t uncacheable           # bypasses without a key, and passed over
    cdef object routes                  # weak: the stages of its routes
    cdef set logged                     # (name, is_error) that pass_over has logged

    # The key and its hash without a scope; raises Unkeyable, and what users' code does.
    cdef object make_key(
        self, CacheSettings config, KeyPlan plan, object query, uint64_t *group
    )
    # How long an answer to a query of this class is used, 0: it is not stored.
    cdef int64_t lifetime(self, CacheSettings config, object cls) except -1
    cdef int64_t shortened(self, CacheSettings config, int64_t ttl_ns) noexcept
    # Count a result that its use consumes, or an error without copies; log it once.
    # Count a query that no key can be made of; log it once for a name.
    cdef int tell_unkeyable(
        self, KeyPlan plan, object query, str name, object error
    ) except -1
    cdef int pass_over(self, str name, object outcome) except -1
    cdef int put(self, Load load, object value, int64_t ttl_ns) except -1


# What keeps the answers for this context apart, as it is; None is the empty context.
cdef object scope_in(CacheSettings config, Context ctx)
