"""Caching: answer a query that was answered before, and compute each answer once."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from cqrs_fast.base.clock cimport as_clock
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.stage cimport RouteSpec, Stage
from cqrs_fast.stages.caching.core cimport CacheCore, StoredError, scope_in
from cqrs_fast.stages.caching.query_cache cimport find
from cqrs_fast.stages.caching.route cimport CachedRoute, cached_route
from cqrs_fast.stages.caching.settings cimport CacheSettings
from cqrs_fast.validation.key_ops cimport scope_of
from cqrs_fast.validation.key_plan cimport KeyPlan, plan_of
from cqrs_fast.validation.keys cimport freeze_values

from os import urandom

from cqrs_fast.base.arguments import seconds_or_zero, whole_number
from cqrs_fast.base.naming import label_of
from cqrs_fast.stages.caching.invalidation import caches
from cqrs_fast.stats import CacheStats
from cqrs_fast.validation.keys import Unkeyable

MOST_SEED = 2 ** 64 - 1


@cython.final
cdef class CachingMiddleware(Stage):
    """Answer queries from a cache; each answer is computed by one dispatch at a time.

    The key is the class of the query, the scope and all fields, by type and content: 1,
    1.0 and True differ, as do 0.0 and -0.0. A query whose fields make no key is not
    cached (a `cache_key()` of its class may return what does). A class that says
    `cacheable: ClassVar[bool] = False` is left out. The least used entries go first;
    None is a value; values are shared by reference unless `copy` says otherwise. In
    this process only.

    A result that its use consumes (its own iterator, such as a generator or an open
    file, an async iterator, an awaitable) is neither stored nor shared: who waits for
    it computes. It counts as `uncacheable`, and is logged once for each message. The
    content of a list or another object is not checked.

    Parameters:
        ttl: the most seconds that an answer is used; 0 stores nothing.
        max_size: how many entries there may be, at every instant.
        scope: "principal" keeps the answers of each `ctx.principal` apart, and those of
            nobody; "shared" does not; a callable `scope(ctx)` returns what keeps apart.
        key: `key(query)` returns what stands for the fields.
        condition: `condition(query)` says whether this one is cached.
        tags: `tags(query)` returns an iterable of tags, for `invalidate_tags`.
        ttl_jitter: from 0 to 1: the part of `ttl` that is shortened at random.
        negative_ttl: the seconds that an error of `negative_on` is used; 0 for none.
            Each hit raises a copy of its own, made without its constructor. One that
            cannot be copied is not stored; it counts as `uncacheable`, and is logged
            once for each message.
        negative_on: Exception classes.
        single_flight: whether those who miss while one computes wait for its outcome.
            They get its error too, each a copy of its own.
        flight_wait_max: the most seconds they wait before they compute on their own.
            Nobody begins to wait for one whose event loop is closed.
        copy: "none", "shallow", "deep" or a callable that copies what is stored and
            what is handed out.
        ttl_from: "store", or "start" of the dispatch that computed it.
        seed: an int, for the jitter.
        clock: for tests; by default that of the bus.

    A class of queries that says `cache_ttl: ClassVar[float]` has its own `ttl`, also
    for its subclasses; `set_ttl` goes before it.

    `update` changes all of these but `seed` and `clock`; entries stay, unless `scope`
    or `key` changes. Routes that were built without `single_flight` never begin to
    wait. What is being computed goes on with the settings of before.

    Raises TypeError or ValueError for an argument that makes no sense, and TypeError on
    a command bus. What `key`, `condition`, `tags`, `scope` or `copy` raise is reported,
    and the query goes on uncached. All methods are safe from any thread and loop. One
    object may serve several buses.
    """

    cdef CacheCore core
    cdef object __weakref__

    def __init__(self, ttl=600.0, *, max_size=10000, scope="principal", key=None,
                 condition=None, tags=None, ttl_jitter=0.0, negative_ttl=0.0,
                 negative_on=(), single_flight=True, flight_wait_max=30.0, copy="none",
                 ttl_from="store", seed=None, clock=None):
        """Check and keep the parameters: the class describes them."""
        config = CacheSettings(
            ttl, max_size=max_size, scope=scope, key=key, condition=condition,
            tags=tags, ttl_jitter=ttl_jitter, negative_ttl=negative_ttl,
            negative_on=negative_on, single_flight=single_flight,
            flight_wait_max=flight_wait_max, copy=copy, ttl_from=ttl_from,
        )
        if seed is None:
            seed = int.from_bytes(urandom(8), "little")
        seed = whole_number("seed", seed, 0, MOST_SEED)
        self.core = CacheCore(config, seed, as_clock(clock))

    def settings(self):
        """Return the effective settings, under the names of the parameters."""
        return {
            name: label_of(value) if callable(value) else value
            for name, value in self.core.config.given.items()
        }

    def set_ttl(self, cls, seconds):
        """Give the queries of a class and its subclasses their own `ttl`.

        None takes it back, 0 stores none. It counts for what is stored from now on.
        """
        if not isinstance(cls, type):
            raise TypeError(f"cls must be a class, got {cls!r}")
        if seconds is None:
            self.core.ttls.pop(id(cls), None)
        else:
            self.core.ttls[id(cls)] = (cls, seconds_or_zero("seconds", seconds))

    def __len__(self):
        return self.core.cache.table.size

    def get(self, query, Context ctx=None, default=None):
        """Return what is stored for a query in the scope of `ctx`, or `default`.

        It counts as no lookup and as no use; a stored error is nothing.
        """
        cdef uint64_t group = 0
        cdef uint64_t hash
        cdef KeyPlan plan = plan_of(type(query))
        cdef CacheSettings config = self.core.config
        cdef uint64_t era = self.core.era
        cdef int64_t now_ns = read_clock(self.core.clock)
        try:
            key = self.core.make_key(config, plan, query, &group)
            hash = group
            scope = scope_of(plan, scope_in(config, ctx), &hash)
        except Unkeyable:
            key = scope = None
        if key is None or era != self.core.era:
            return default
        cdef uint32_t id = find(
            &self.core.cache.table, plan, <PyObject *>key, <PyObject *>scope, hash
        )
        if id == 0 or self.core.cache.table.nodes[id].expires_ns <= now_ns:
            return default
        value = <object>self.core.cache.table.nodes[id].value
        if type(value) is StoredError:
            return default
        return value if config.copier is None else config.copier(value)

    # Each of these also keeps what is being computed now from being stored: it goes to
    # those who wait for it, and to nobody who asks later.

    def invalidate(self, query, Context ctx=None):
        """Forget what is stored for a query in every scope, or in that of `ctx` alone.

        Return how many entries that were. What `key` or `cache_key` raise is raised.
        """
        cdef uint64_t group = 0
        cdef uint64_t hash
        cdef PyObject *within = NULL
        cdef KeyPlan plan = plan_of(type(query))
        try:
            key = self.core.make_key(self.core.config, plan, query, &group)
            if ctx is not None:
                hash = group
                scope = scope_of(plan, scope_in(self.core.config, ctx), &hash)
                within = <PyObject *>scope
        except Unkeyable:
            key = None
        if key is None:
            return 0
        self.core.loads.outdate_key(plan, key, within, group)
        return self.core.cache.drop_key(plan, key, within, group)

    def invalidate_type(self, cls):
        """Forget the queries of a class and its subclasses.

        This costs what is forgotten, not what stays. Raises TypeError unless `cls` is a
        class.
        """
        if not isinstance(cls, type):
            raise TypeError(f"cls must be a class, got {cls!r}")
        self.core.loads.outdate_class(cls)
        self.core.cache.drop_class(cls)

    def invalidate_tags(self, *tags):
        """Forget what was stored under at least one of the tags."""
        cdef list frozen = freeze_values(tags)
        self.core.loads.outdate_tags(frozen)
        self.core.cache.drop_tags(frozen)

    def clear(self):
        """Forget everything; return how many entries that were. Counts stay."""
        self.core.loads.outdate_all()
        return self.core.cache.drop_all()

    def sweep(self):
        """Remove all expired entries; return how many."""
        return self.core.cache.sweep(read_clock(self.core.clock))

    def _check(self):
        """Raise AssertionError unless the tables are in order; for tests."""
        self.core.cache._check()
        if len(self.core.loads.flights) > self.core.loads.count:
            raise AssertionError("there are more flights than loads")

    cdef object observed(self):
        return CacheStats(
            size=self.core.cache.table.size,
            max_size=self.core.config.max_size,
            hits=self.core.hits,
            misses=self.core.misses,
            bypasses=self.core.bypasses,
            evictions=self.core.cache.evictions,
            uncacheable=self.core.uncacheable,
            shared=self.core.loads.shared,
            expired=self.core.cache.expirations,
            loading=self.core.loads.count,
        )

    cdef dict changeable(self):
        return self.core.config.given

    cdef Stage serve(self, RouteSpec spec, Stage new):
        return self.served(spec, (<CachingMiddleware>new).core.config)

    cdef int exchange(self, Stage new) noexcept:
        cdef CacheCore core = self.core
        cdef CacheCore other = (<CachingMiddleware>new).core
        other.config, core.config = core.config, other.config
        # At once: a key belongs to the settings that it was made by.
        if have_other_keys(other.config, core.config):
            core.era += 1
            core.loads.outdate_all()
            core.cache.exchange(other.cache)
        return 0

    cdef int settle(self, Stage old) except -1:
        cdef CachedRoute route
        self.core.cache.resize(self.core.config.max_size)
        for route in list(self.core.routes):
            route.look_for_user_code(self.core.config)
        (<CachingMiddleware>old).core.cache.drop_all()
        return 0

    cdef Stage for_route(self, RouteSpec spec):
        return self.served(spec, self.core.config)

    cdef Stage served(self, RouteSpec spec, CacheSettings config):
        if spec.kind == "command":
            raise TypeError(
                "CachingMiddleware serves queries; a command changes something each "
                "time (IdempotencyMiddleware recognises one that is sent twice)"
            )
        if self.core.clock is None:
            self.core.clock = spec.clock
        caches.add(self)
        return cached_route(self, self.core, config, spec)


cdef bint have_other_keys(CacheSettings old, CacheSettings new) noexcept:
    return (
        new.scope is not old.scope
        or new.scope_kind != old.scope_kind
        or new.key is not old.key
    )


signed(CachingMiddleware)
constructed(CachingMiddleware)
