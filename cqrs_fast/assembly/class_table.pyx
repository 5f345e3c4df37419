"""ClassTable: class -> route, by identity; the lookup of every dispatch."""

cimport cython
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from cqrs_fast.base.sealing cimport constructed

from weakref import ref


cdef enum:
    SMALLEST = 8
    LARGEST = 1 << 30


@cython.final
cdef class ClassTable:
    """Map classes to routes; `kept` holds the references, `entries` the pointers."""

    def __init__(self, size_t capacity=0):
        self.kept = {}
        self.reserve(capacity)

    def __dealloc__(self):
        free(self.entries)

    cdef int put(self, object cls, Route route) except -1:
        return self.keep(cls, cls, route)

    cdef int put_weak(self, object cls, Route route) except -1:
        cdef PyObject *dying = <PyObject *>cls
        table = ref(self)

        def forget(dead):
            cdef ClassTable alive = table()
            if alive is not None:
                alive.drop(dying)

        return self.keep(cls, ref(cls, forget), route)

    cdef int keep(self, object cls, object reference, Route route) except -1:
        cdef uintptr_t address = <uintptr_t><PyObject *>cls
        self.reserve(len(self.kept) + 1)
        # Dropped last: that may run any code, which must find the new route.
        replaced = self.kept.get(address)
        self.kept[address] = (reference, route)
        self.insert(entry_of(<PyObject *>cls, route))
        del replaced
        return 0

    cdef int drop(self, PyObject *cls) except -1:
        self.remove(cls)
        self.kept.pop(<uintptr_t>cls, None)
        return 0

    cdef ClassTable copy(self):
        """Return a copy with the same capacity."""
        cdef ClassTable table = ClassTable.__new__(ClassTable)
        cdef size_t size = (self.mask + 1) * sizeof(Entry)
        table.kept = self.kept.copy()
        # Not cleared first: every registration copies the whole table.
        table.entries = <Entry *>malloc(size)
        if table.entries == NULL:
            raise MemoryError
        table.mask = self.mask
        table.shift = self.shift
        memcpy(table.entries, self.entries, size)
        return table

    cdef int reserve(self, size_t count) except -1:
        """Make room for `count` entries."""
        cdef size_t index, capacity = SMALLEST
        cdef size_t old_capacity = 0 if self.entries == NULL else self.mask + 1
        cdef Entry *entries
        cdef Entry *old = self.entries
        cdef int bits = 3
        if count > LARGEST:
            raise MemoryError
        while capacity < 2 * count:
            capacity *= 2
            bits += 1
        if capacity <= old_capacity:
            return 0
        entries = <Entry *>calloc(capacity, sizeof(Entry))
        if entries == NULL:
            raise MemoryError
        self.entries = entries
        self.mask = capacity - 1
        self.shift = 8 * sizeof(uintptr_t) - bits
        for index in range(old_capacity):
            if old[index].cls != NULL:
                self.insert(old[index])
        free(old)
        return 0

    cdef int insert(self, Entry entry) noexcept:
        cdef size_t index = home_of(entry.cls, self.shift)
        while self.entries[index].cls != NULL and self.entries[index].cls != entry.cls:
            index = (index + 1) & self.mask
        self.entries[index] = entry
        return 0

    cdef int remove(self, PyObject *cls) noexcept:
        """Remove an entry and close the gap, so that no probe ends too early."""
        cdef Entry *entries = self.entries
        cdef size_t mask = self.mask
        cdef size_t gap = home_of(cls, self.shift)
        cdef size_t index, home
        while entries[gap].cls != cls:
            if entries[gap].cls == NULL:
                return 0
            gap = (gap + 1) & mask
        index = (gap + 1) & mask
        while entries[index].cls != NULL:
            # An entry may move to the gap unless it would then be before its home.
            home = home_of(entries[index].cls, self.shift)
            if ((index - home) & mask) >= ((index - gap) & mask):
                entries[gap] = entries[index]
                gap = index
            index = (index + 1) & mask
        entries[gap].cls = NULL
        return 0


cdef Entry entry_of(PyObject *cls, Route route) noexcept:
    cdef Entry entry
    entry.cls = cls
    entry.route = <PyObject *>route
    entry.call = <PyObject *>route.call if route.bypasses_driver else NULL
    entry.in_flight = route.in_flight
    return entry


constructed(ClassTable)
