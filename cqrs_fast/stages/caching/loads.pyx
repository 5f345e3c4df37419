"""Loads: who computes what a cache lacks, and who waits for it."""

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport uint64_t

from cqrs_fast.base.forks cimport on_fork
from cqrs_fast.base.sealing cimport constructed, internal
from cqrs_fast.stages.caching.entry_index cimport class_of, shares_tag
from cqrs_fast.validation.key_hash cimport same_key
from cqrs_fast.validation.key_plan cimport KeyPlan
from cqrs_fast.validation.key_values cimport same_value
from cqrs_fast.validation.keys cimport TypedKey
from cqrs_fast.waits.flight cimport LEADING, Flight

from cqrs_fast.base.callbacks import report_callback_error

cdef extern from *:
    bint PyType_IsSubtype(PyTypeObject *cls, PyTypeObject *base) noexcept


@cython.final
@cython.no_gc_clear
cdef class Load(Participant):
    """One dispatch that misses, from its miss to its end."""

    def __dealloc__(self):
        cdef Loads loads = self.loads
        if loads is None:
            return
        # Freed without being left: nobody else ends its flight.
        loads.remove(self)
        try:
            loads.pass_on(self)
        except BaseException as error:
            report_callback_error("leaving a flight", "a query that was freed", error)


@cython.final
cdef class Loads:
    """All loads of one cache, and its flights by key."""

    def __cinit__(self):
        self.flights = {}
        on_fork(self)

    def _after_fork(self):
        cdef unsigned long here = PyThread_get_thread_ident()
        cdef PyObject *one
        cdef Load load
        cdef Flight flight
        for key, flight in list(self.flights.items()):
            if not flight.keep_only(here):
                del self.flights[key]
        one = self.newest
        while one != NULL:
            load = <Load>one
            one = load.older
            if load.thread != here:
                # No invalidation finds it any more.
                load.stale = True
                self.remove(load)

    cdef int add(self, Load load) noexcept:
        load.loads = self
        load.older = self.newest
        if self.newest != NULL:
            (<Load>self.newest).newer = <PyObject *>load
        self.newest = <PyObject *>load
        self.count += 1
        return 0

    cdef int remove(self, Load load) noexcept:
        if load.loads is None:
            return 0
        load.loads = None
        if load.newer == NULL:
            self.newest = load.older
        else:
            (<Load>load.newer).older = load.older
        if load.older != NULL:
            (<Load>load.older).newer = load.newer
        load.newer = load.older = NULL
        self.count -= 1
        return 0

    cdef Flight flight_of(self, TypedKey key):
        cdef Flight flight = self.flights.get(key)
        return None if flight is None or flight.closed else flight

    cdef int skip_closed(self, TypedKey key) except -1:
        cdef Flight flight
        if self.flights:
            flight = self.flight_of(key)
            if flight is not None:
                flight.skip_closed()
                if flight.closed:
                    self.close(key, flight)
        return 0

    cdef int begin(self, Load load) noexcept:
        load.running = True
        load.stale = load.loads is None
        return 0

    cdef int close(self, TypedKey key, Flight flight) except -1:
        flight.closed = True
        if self.flights.get(key) is flight:
            del self.flights[key]
        return 0

    cdef int pass_on(self, Load load) except -1:
        cdef Flight flight = <Flight>load.line
        if load.role == LEADING and not flight.pass_on():
            self.close(load.key, flight)
        return 0

    cdef int outdate_key(
        self, KeyPlan plan, object key, PyObject *scope, uint64_t group
    ) noexcept:
        cdef PyObject *one = self.newest
        cdef Load load
        while one != NULL:
            load = <Load>one
            if load.key.group == group:
                if scope == NULL or same_value(<PyObject *>load.key.scope, scope):
                    if same_key(plan, <PyObject *>load.key.key, <PyObject *>key):
                        outdate(load)
            one = load.older
        return 0

    cdef int outdate_class(self, object cls) noexcept:
        cdef PyObject *one = self.newest
        cdef PyObject *its_class
        cdef Load load
        while one != NULL:
            load = <Load>one
            its_class = class_of(<PyObject *>load.key.key)
            if PyType_IsSubtype(<PyTypeObject *>its_class, <PyTypeObject *>cls):
                outdate(load)
            one = load.older
        return 0

    cdef int outdate_tags(self, list tags) noexcept:
        cdef PyObject *one = self.newest
        cdef Load load
        while one != NULL:
            load = <Load>one
            if shares_tag(<PyObject *>load.tags, tags):
                outdate(load)
            one = load.older
        return 0

    cdef int outdate_all(self) noexcept:
        cdef PyObject *one = self.newest
        cdef Load load
        while one != NULL:
            load = <Load>one
            outdate(load)
            one = load.older
        return 0


cdef int outdate(Load load) noexcept:
    load.stale = True
    if load.line is not None:
        (<Flight>load.line).closed = True
    return 0


constructed(Loads)
internal(Load)
