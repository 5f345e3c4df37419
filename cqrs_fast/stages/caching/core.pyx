"""CacheCore: the state of one CachingMiddleware, shared by its routes."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.context cimport Context, background
from cqrs_fast.stages.caching.loads cimport Load, Loads
from cqrs_fast.stages.caching.query_cache cimport QueryCache, random_unit
from cqrs_fast.stages.caching.settings cimport SHARED, CacheSettings
from cqrs_fast.validation.key_hash cimport hash_frozen
from cqrs_fast.validation.key_ops cimport key_of
from cqrs_fast.validation.key_plan cimport KeyPlan
from cqrs_fast.validation.keys cimport freeze_key, freeze_value

from weakref import WeakSet

from cqrs_fast.base.callbacks import log_unkeyable, log_unshared
from cqrs_fast.stages.caching.settings import class_ttl


@cython.final
cdef class StoredError:
    """A remembered failure, told from a result that is an exception."""


@cython.final
cdef class CacheCore:
    """What is stored, what is being computed, by which settings."""

    def __init__(self, CacheSettings config not None, uint64_t seed, Clock clock):
        self.config = config
        self.random.state = seed
        self.clock = clock
        self.ttls = {}
        self.logged = set()
        self.routes = WeakSet()
        self.loads = Loads()
        self.cache = QueryCache()
        self.cache.resize(config.max_size)

    cdef object make_key(
        self, CacheSettings config, KeyPlan plan, object query, uint64_t *group
    ):
        if config.key is None:
            return key_of(plan, query, group)
        key = freeze_key(plan, config.key(query))
        group[0] = hash_frozen(<PyObject *>key, plan.seed, plan.factor)
        return key

    cdef int64_t lifetime(self, CacheSettings config, object cls) except -1:
        if self.ttls:
            for base in cls.__mro__:
                known = self.ttls.get(id(base))
                if known is not None:
                    return self.shortened(config, known[1])
        ttl_ns = class_ttl(cls)
        return self.shortened(config, config.ttl_ns if ttl_ns is None else ttl_ns)

    cdef int64_t shortened(self, CacheSettings config, int64_t ttl_ns) noexcept:
        if config.jitter == 0.0:
            return ttl_ns
        return <int64_t>(ttl_ns * (1.0 - random_unit(&self.random) * config.jitter))

    cdef int tell_unkeyable(
        self, KeyPlan plan, object query, str name, object error
    ) except -1:
        self.uncacheable += 1
        if (name, None) not in self.logged:
            self.logged.add((name, None))
            log_unkeyable(name, unkeyable_field(plan, query), error)
        return 0

    cdef int pass_over(self, str name, object outcome) except -1:
        once = name, isinstance(outcome, BaseException)
        self.uncacheable += 1
        if once not in self.logged:
            self.logged.add(once)
            instead = "not stored" if once[1] else "neither cached nor shared"
            log_unshared(name, outcome, f"it is {instead}")
        return 0

    cdef int put(self, Load load, object value, int64_t ttl_ns) except -1:
        """Store it, unless what it was computed from has been invalidated."""
        cdef int64_t now_ns, begun_ns
        if ttl_ns == 0:
            return 0
        now_ns = begun_ns = read_clock(self.clock)
        if load.config.from_start:
            begun_ns = load.begun_ns
        # What its key was made by may have changed: under it, others would find this.
        if load.stale or load.era != self.era:
            return 0
        if begun_ns + ttl_ns > now_ns:
            self.cache.put(load.key, value, load.tags, begun_ns + ttl_ns, now_ns)
        return 0


cdef object unkeyable_field(KeyPlan plan, object query):
    found = None
    for name in plan.names:
        try:
            freeze_value(getattr(query, name))
        except Exception:
            # Users' code may be asked for the value.
            found = name
        if found is not None:
            break
    return found


cdef object scope_in(CacheSettings config, Context ctx):
    if config.scope_kind == SHARED:
        return None
    if ctx is None:
        ctx = background
    return ctx.state.principal if config.scope is None else config.scope(ctx)


constructed(CacheCore)
internal(StoredError)
