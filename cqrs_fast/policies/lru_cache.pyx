"""LRUCache: a bounded mapping that forgets what was not used for longest."""

cimport cython
from cpython.object cimport PyObject

from cqrs_fast.base.clock cimport as_clock
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.base.system_clock cimport is_reached
from cqrs_fast.policies.core.dict_keys cimport key_equal, key_hash
from cqrs_fast.policies.core.lru cimport (
    LRU_MOST, LRU_NEVER, lru_check, lru_find, lru_first, lru_free, lru_init, lru_insert,
    lru_last, lru_next, lru_prev, lru_probes, lru_release, lru_remove, lru_replace,
    lru_resize, lru_sweep, lru_touch,
)

from collections.abc import KeysView, Mapping, MutableMapping
from os import urandom
from types import GenericAlias

from cqrs_fast.base.arguments import seconds_or_zero, whole_number
from cqrs_fast.policies.cache_views import CacheItems, CacheValues
from cqrs_fast.stats import LRUCacheStats


cdef extern from "cqrs_fast/policies/core/lru_slots.h":
    void set_slots "cqrs_lru_set_slots"(type, Py_ssize_t offset) noexcept
    void Py_DECREF(PyObject *) noexcept

cdef enum:
    KEYS
    VALUES
    ITEMS

cdef object MISSING = object()

hash_secret.addend = int.from_bytes(urandom(8), "little")
hash_secret.factor = int.from_bytes(urandom(8), "little") | 1


@cython.final
@cython.trashcan(True)
cdef class LRUCache:
    """A mapping of at most `max_size` entries; the least recently used one makes room.

    Parameters:
        max_size: how many entries it may hold, from 1 to 2**30. The bound holds at
            every instant, inside an insertion too.
        ttl: seconds for which an entry lives after it was set, 0 to store nothing or
            None for ever; `set` may give an entry one of its own.
        clock: what tells the time; the system's monotonic clock by default.

    Keys are those of a dict: hashable, found by `==`. They may come from callers:
    strings, bytes, numbers and tuples of these are hashed by a secret of the process,
    so that nobody can choose some that meet. The price: beyond 61 bits an int is found
    by an int or a float, by no Decimal or Fraction that equals it. Other keys are
    hashed by their own `__hash__`. Reading with `[]`, `get` or
    `setdefault` and storing count as use; `in`, `peek` and iteration do not. The order
    of iteration is that of use, the least recently used first.

    An entry has expired once its time is reached, and is not found any more; `len`
    counts it until it is removed, by a lookup of its key, an insertion (up to four from
    the cold end) or `sweep`. What goes from key to key, like `dict(cache)`, may raise
    KeyError where entries expire meanwhile; `dict(cache.items())` does not.

    Iteration goes over what was there when it began, whatever is changed meanwhile.
    Safe to use from any thread, where each call is atomic unless the `__eq__` or
    `__hash__` of a key is written in Python; these, and the `__del__` of what is let go
    of, may use the cache. A comparison that keeps changing it ends in RuntimeError.
    """

    def __cinit__(self):
        lru_init(&self.table, 1, False)
        self.ttl_ns = LRU_NEVER

    def __init__(self, max_size=10000, ttl=None, *, clock=None):
        """Check and keep the parameters: the class describes them."""
        size = whole_number("max_size", max_size, 1, LRU_MOST)
        ttl_ns = to_ns(ttl, LRU_NEVER)
        self.clock = as_clock(clock)
        self.ttl_ns = ttl_ns
        self.resize(size)

    def __dealloc__(self):
        lru_free(&self.table)

    __class_getitem__ = classmethod(GenericAlias)

    cdef int64_t find(self, object key) except -1:
        # hot
        cdef int64_t now_ns = 0
        cdef int64_t found, expires_ns
        cdef uint32_t hash
        cdef bint expired
        if self.clock is not None:
            # It may be a user's, which can change the table: not after the search.
            now_ns = self.clock.now()
        hash = <uint32_t>key_hash(<PyObject *>key, &hash_secret)
        found = lru_find(&self.table, hash, <PyObject *>key, NULL, key_equal)
        if found == 0:
            return 0
        expires_ns = self.table.nodes[found].expires_ns
        if expires_ns == LRU_NEVER:
            return found
        if self.clock is None:
            expired = is_reached(expires_ns)
        else:
            expired = now_ns >= expires_ns
        if expired:
            lru_remove(&self.table, <uint32_t>found)
            lru_release(&self.table)
            return 0
        return found

    cdef int store(self, object key, object value, int64_t ttl_ns) except -1:
        # hot
        cdef int64_t now_ns = 0
        cdef int64_t expires_ns = LRU_NEVER
        cdef int64_t found
        cdef PyObject *old
        cdef PyObject *none
        cdef uint32_t hash
        if ttl_ns != LRU_NEVER or self.table.expiring:
            now_ns = read_clock(self.clock)
        if now_ns < LRU_NEVER - ttl_ns and ttl_ns != LRU_NEVER:
            expires_ns = now_ns + ttl_ns
        hash = <uint32_t>key_hash(<PyObject *>key, &hash_secret)
        found = lru_find(&self.table, hash, <PyObject *>key, NULL, key_equal)
        if ttl_ns == 0:
            if found:
                lru_remove(&self.table, <uint32_t>found)
                lru_release(&self.table)
        elif found:
            lru_replace(
                &self.table, <uint32_t>found, <PyObject *>value, NULL, expires_ns,
                &old, &none,
            )
            Py_DECREF(old)
        elif lru_insert(
            &self.table, hash, 0, <PyObject *>key, NULL, <PyObject *>value, NULL,
            expires_ns, now_ns, &self.evictions,
        ):
            lru_release(&self.table)
        else:
            raise MemoryError
        return 0

    cdef list snapshot(self, int what, bint reverse):
        # A list that grows runs no Python code, while a new tuple may collect garbage.
        cdef int64_t now_ns = read_clock(self.clock) if self.table.expiring else 0
        cdef list found = []
        cdef uint32_t id = lru_last(&self.table) if reverse else lru_first(&self.table)
        while id:
            if self.table.nodes[id].expires_ns > now_ns:
                if what != VALUES:
                    found.append(<object>self.table.nodes[id].key)
                if what != KEYS:
                    found.append(<object>self.table.nodes[id].value)
            if reverse:
                id = lru_prev(&self.table, id)
            else:
                id = lru_next(&self.table, id)
        if what == ITEMS:
            return list(zip(found[::2], found[1::2]))
        return found

    # Lookups

    def __getitem__(self, key):
        # hot
        cdef int64_t found = self.find(key)
        if found == 0:
            self.misses += 1
            raise KeyError(key)
        self.hits += 1
        lru_touch(&self.table, <uint32_t>found)
        return <object>self.table.nodes[found].value

    def get(self, key, default=None):
        """Return the value of `key`, or `default`; it is the one used last then."""
        # hot
        cdef int64_t found = self.find(key)
        if found == 0:
            self.misses += 1
            return default
        self.hits += 1
        lru_touch(&self.table, <uint32_t>found)
        return <object>self.table.nodes[found].value

    def peek(self, key, default=None):
        """Return the value of `key`, or `default`, without counting as use."""
        cdef int64_t found = self.find(key)
        return default if found == 0 else <object>self.table.nodes[found].value

    def __contains__(self, key):
        return self.find(key) != 0

    def __len__(self):
        return self.table.size

    # Changes

    def __setitem__(self, key, value):
        # hot
        self.store(key, value, self.ttl_ns)

    def set(self, key, value, ttl=None):
        """Store a value for `ttl` seconds; None stands for the ttl of the cache.

        With 0 nothing is stored, and what `key` had is removed. Raises TypeError for an
        unhashable key and ValueError for a ttl that is negative or no number.
        """
        self.store(key, value, to_ns(ttl, self.ttl_ns))

    def __delitem__(self, key):
        cdef int64_t found = self.find(key)
        if found == 0:
            raise KeyError(key)
        lru_remove(&self.table, <uint32_t>found)
        lru_release(&self.table)

    def pop(self, key, default=MISSING):
        """Remove `key` and return its value, or `default`.

        Raises KeyError if it is not there and there is no `default`.
        """
        cdef int64_t found = self.find(key)
        if found == 0:
            if default is MISSING:
                raise KeyError(key)
            return default
        value = <object>self.table.nodes[found].value
        lru_remove(&self.table, <uint32_t>found)
        lru_release(&self.table)
        return value

    def popitem(self):
        """Remove the least recently used entry and return it as (key, value).

        Raises KeyError if there is none.
        """
        cdef int64_t now_ns = read_clock(self.clock) if self.table.expiring else 0
        cdef uint32_t id = lru_first(&self.table)
        while id and self.table.nodes[id].expires_ns <= now_ns:
            lru_remove(&self.table, id)
            id = lru_first(&self.table)
        if id == 0:
            lru_release(&self.table)
            raise KeyError("popitem(): the cache is empty")
        key = <object>self.table.nodes[id].key
        value = <object>self.table.nodes[id].value
        lru_remove(&self.table, id)
        lru_release(&self.table)
        return key, value

    def setdefault(self, key, default=None):
        """Return the value of `key`, after storing `default` if it has none."""
        cdef int64_t found = self.find(key)
        if found == 0:
            self.misses += 1
            self.store(key, default, self.ttl_ns)
            return default
        self.hits += 1
        lru_touch(&self.table, <uint32_t>found)
        return <object>self.table.nodes[found].value

    def update(self, other=(), /, **more):
        """Store everything of a mapping or an iterable of pairs, then what is named.

        Settings are changed by `resize` and `ttl`.
        """
        if isinstance(other, LRUCache):
            other = (<LRUCache>other).snapshot(ITEMS, False)
        if isinstance(other, Mapping) or hasattr(other, "keys"):
            for key in other.keys():
                self.store(key, other[key], self.ttl_ns)
        else:
            for key, value in other:
                self.store(key, value, self.ttl_ns)
        for key, value in more.items():
            self.store(key, value, self.ttl_ns)

    def clear(self):
        """Remove everything and give its memory back; the statistics stay."""
        lru_free(&self.table)

    def sweep(self):
        """Remove all that has expired; return how many entries that were."""
        cdef uint32_t removed = 0
        if self.table.expiring:
            removed = lru_sweep(&self.table, read_clock(self.clock))
            lru_release(&self.table)
        return removed

    # Views

    def __iter__(self):
        return iter(self.snapshot(KEYS, False))

    def __reversed__(self):
        return iter(self.snapshot(KEYS, True))

    def keys(self):
        """Return a set-like view of the keys, the least recently used first."""
        return KeysView(self)

    def values(self):
        """Return a view of the values, the least recently used first."""
        return CacheValues(self)

    def items(self):
        """Return a set-like view of (key, value), the least recently used first."""
        return CacheItems(self)

    def _snapshot(self, bint pairs):
        return self.snapshot(ITEMS if pairs else VALUES, False)

    def __eq__(self, other):
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.snapshot(ITEMS, False)) == dict(other.items())

    __hash__ = None

    def __repr__(self):
        return f"<LRUCache of {self.table.size}, at most {self.table.max}>"

    # Settings

    @property
    def max_size(self):
        """How many entries it may hold; see `resize`."""
        return self.table.max

    @property
    def ttl(self):
        """Seconds that an entry lives, or None; what is set goes for later entries."""
        return None if self.ttl_ns == LRU_NEVER else self.ttl_ns / 1e9

    @ttl.setter
    def ttl(self, ttl):
        self.ttl_ns = to_ns(ttl, LRU_NEVER)

    def resize(self, max_size):
        """Change how many entries it may hold; what is too much is evicted at once."""
        cdef uint32_t size = whole_number("max_size", max_size, 1, LRU_MOST)
        self.evictions += lru_resize(&self.table, size)
        lru_release(&self.table)

    def stats(self):
        """Return an LRUCacheStats; `[]`, `get` and `setdefault` count as lookups."""
        return LRUCacheStats(
            size=self.table.size,
            max_size=self.table.max,
            hits=self.hits,
            misses=self.misses,
            evictions=self.evictions,
        )

    def _check(self):
        # For tests: walk the whole table.
        wrong = lru_check(&self.table)
        if wrong != NULL:
            raise AssertionError(wrong.decode())

    def _probes(self):
        # For tests: how many places are looked at to find each entry once.
        return lru_probes(&self.table)


cdef int64_t to_ns(object ttl, int64_t default_ns) except -1:
    if ttl is None:
        return default_ns
    if type(ttl) is float and 0 < <double>ttl <= 1e9:
        return max(<int64_t>(<double>ttl * 1e9 + 0.5), 1)
    return seconds_or_zero("ttl", ttl)


set_slots(LRUCache, <Py_ssize_t>&(<LRUCache>NULL).table)
MutableMapping.register(LRUCache)

signed(LRUCache)
constructed(LRUCache)
