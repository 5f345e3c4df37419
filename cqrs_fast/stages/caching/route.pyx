"""CachedRoute: what a CachingMiddleware does in one route."""

cimport cython
from cpython.object cimport Py_TYPE, PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uint32_t, uint64_t

from cqrs_fast.base.calling cimport is_used_up
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.sealing cimport internal
from cqrs_fast.base.system_clock cimport is_reached
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.deadline cimport is_own_fate
from cqrs_fast.pipeline.frame cimport CACHE_HIT, PROCEED, STOP, Frame
from cqrs_fast.pipeline.frame_ops cimport seen_context, set_error, set_result
from cqrs_fast.pipeline.route cimport Route
from cqrs_fast.pipeline.stage cimport RouteSpec, Stage
from cqrs_fast.pipeline.waiting cimport wait_in_line
from cqrs_fast.policies.core.lru cimport LruNode, lru_touch
from cqrs_fast.stages.caching.core cimport CacheCore, StoredError, scope_in
from cqrs_fast.stages.caching.loads cimport Load, Loads
from cqrs_fast.stages.caching.query_cache cimport find
from cqrs_fast.stages.caching.settings cimport BY_PRINCIPAL, CacheSettings
from cqrs_fast.validation.key_hash cimport hash_message
from cqrs_fast.validation.key_ops cimport scope_of
from cqrs_fast.validation.key_plan cimport KeyPlan, plan_of
from cqrs_fast.validation.key_values cimport KEY_BUDGET, KeyState, add_value
from cqrs_fast.validation.keys cimport freeze_values, typed_key
from cqrs_fast.waits.flight cimport ANSWERED, FAILED, LEADING, Flight, Role

from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.base.error_copies import copied_error, detached_error
from cqrs_fast.stages.caching.settings import class_ttl
from cqrs_fast.validation.keys import Unkeyable


cdef Stage cached_route(
    Stage owner, CacheCore core, CacheSettings config, RouteSpec spec
):
    cdef CachedRoute route = CachedRoute.__new__(CachedRoute)
    route.owner = owner
    route.core = core
    class_ttl(spec.message_class)       # raises for what is no time
    route.follow(object if spec.message_class is None else spec.message_class)
    route.may_wait = config.single_flight
    route.route = spec.route
    route.look_for_user_code(config)
    core.routes.add(route)
    return route if route.plan.cacheable else None


cdef inline PyObject *principal_of(Frame *f) noexcept:
    cdef PyObject *seen = f.parent if f.context == NULL else f.context
    if seen == NULL:
        return <PyObject *>None
    return <PyObject *>(<Context>seen).state.principal


@cython.final
cdef class CachedRoute(Stage):
    """The stage of one route: it knows how the keys of its class are made."""

    def __cinit__(self):
        self.has_slot = True

    cdef tuple described(self):
        kind, settings = self.owner.described()
        ttl_ns = class_ttl(self.message_class)
        if ttl_ns is not None:
            settings = {**settings, "ttl": ttl_ns / 1e9}
        return kind, settings

    cdef int follow(self, object cls) except -1:
        self.message_class = cls
        self.plan = plan_of(cls)
        return 0

    cdef int look_for_user_code(self, CacheSettings config) except -1:
        if (
            not config.plain
            or config.tags is not None
            or hasattr(self.message_class, "cache_key")
        ):
            self.calls_user_code = True
            if self.route is not None:
                (<Route>self.route).calls_user_code = True
        return 0

    cdef int enter(self, Frame *f) except -1:
        # hot: a hit of a plain query ends here; nothing may be allocated
        cdef uint64_t hash = 0
        cdef PyObject *scope = <PyObject *>None
        cdef KeyState state
        cdef LruNode *node
        cdef uint32_t id
        if f.slot.object != NULL:
            return self.go_on(f)
        if (
            not self.core.config.plain
            or <PyObject *>Py_TYPE(<object>f.message) != self.plan.cls
            or not self.plan.is_own
            or not hash_message(self.plan, f.message, &hash)
        ):
            return self.look_up(f)
        if self.core.config.scope_kind == BY_PRINCIPAL:
            scope = principal_of(f)
        state.hash = hash
        state.factor = self.plan.factor
        state.budget = KEY_BUDGET
        state.by_identity = False
        if not add_value(scope, &state, 0):
            return self.look_up(f)
        id = find(&self.core.cache.table, self.plan, f.message, scope, state.hash)
        if id == 0:
            return self.look_up(f)
        node = &self.core.cache.table.nodes[id]
        if <PyObject *>Py_TYPE(<object>node.value) == <PyObject *>StoredError:
            return self.look_up(f)
        if f.started_ns != 0 and self.has_time(f):
            if f.now_ns >= node.expires_ns:
                return self.look_up(f)
        elif self.core.clock is not None or is_reached(node.expires_ns):
            return self.look_up(f)
        lru_touch(&self.core.cache.table, id)
        self.core.hits += 1
        f.notes |= CACHE_HIT
        set_result(f, <object>node.value)
        return STOP

    cdef inline bint has_time(self, Frame *f) noexcept:
        """Whether the pipeline reads the same clock."""
        if self.core.clock is None:
            return f.bus_clock == NULL
        return f.bus_clock == <PyObject *>self.core.clock

    cdef int look_up(self, Frame *f) except -1:
        """The same for every query, error and clock; what it lacks, it begins."""
        cdef CacheCore core = self.core
        cdef CacheSettings config = core.config
        cdef uint64_t era = core.era
        cdef uint64_t group = 0
        cdef uint64_t hash
        cdef int64_t now_ns
        cdef uint32_t id
        cdef Load load
        message = <object>f.message
        if type(message) is not self.message_class and self.message_class is object:
            self.follow(type(message))
        cdef KeyPlan plan = self.plan
        if type(message) is not self.message_class:
            plan = plan_of(type(message))
        if not plan.cacheable:
            return self.bypass(f)
        try:
            if config.condition is not None and not config.condition(message):
                return self.bypass(f)
            key = core.make_key(config, plan, message, &group)
            hash = group
            scope = scope_of(plan, scope_in(config, seen_context(f)), &hash)
        except Unkeyable as error:
            core.tell_unkeyable(plan, message, (<Route>f.route).name, error)
            key = scope = None
        except Exception as error:
            self.report(f, error)
            key = scope = None
        if key is None:
            return self.bypass(f)
        if f.started_ns != 0 and self.has_time(f):
            now_ns = f.now_ns
        else:
            now_ns = read_clock(core.clock)
        if era != core.era:
            # Users' code ran: this key is made by settings of before.
            return self.bypass(f)
        id = find(&core.cache.table, plan, <PyObject *>key, <PyObject *>scope, hash)
        if id:
            if now_ns < core.cache.table.nodes[id].expires_ns:
                return self.hit(f, config, id)
            core.cache.expire(id)
        load = make_load(plan, key, scope, group, hash, now_ns)
        load.era = era
        load.config = config
        return self.miss(f, load)

    cdef int bypass(self, Frame *f) except -1:
        """Let it go on uncached."""
        self.core.bypasses += 1
        return PROCEED

    cdef int report(self, Frame *f, object error) except -1:
        """Report an error of users' code."""
        report_callback_error("caching", (<Route>f.route).name, error)
        return 0

    cdef int hit(self, Frame *f, CacheSettings config, uint32_t id) except -1:
        cdef CacheCore core = self.core
        value = <object>core.cache.table.nodes[id].value
        lru_touch(&core.cache.table, id)
        try:
            if type(value) is StoredError:
                error = detached_error((<StoredError>value).error)
                if error is None:
                    return self.bypass(f)
                set_error(f, error)
            else:
                set_result(f, value if config.copier is None else config.copier(value))
            core.hits += 1
            f.notes |= CACHE_HIT
            return STOP
        except Exception as error:
            self.report(f, error)
        return self.bypass(f)

    cdef int miss(self, Frame *f, Load load) except -1:
        """Begin to compute it, or wait for the one who does."""
        cdef CacheCore core = self.core
        cdef CacheSettings config = load.config
        cdef Flight flight = None
        cdef Flight known = None
        cdef uint32_t id
        if config.tags is not None and not self.tag(f, load):
            return self.bypass(f)
        if config.single_flight and self.may_wait:
            load.identify(f.on_loop)
            flight = Flight.__new__(Flight)
            core.loads.skip_closed(load.key)
        # No Python code runs from here on. Until now it did: another may have stored.
        if load.era != core.era:
            return self.bypass(f)
        id = find(
            &core.cache.table, load.key.plan, <PyObject *>load.key.key,
            <PyObject *>load.key.scope, load.key.hash,
        )
        if id and load.begun_ns < core.cache.table.nodes[id].expires_ns:
            return self.hit(f, config, id)
        if flight is not None:
            known = core.loads.flight_of(load.key)
            if known is None:
                # Before it counts as a load: this alone may fail.
                core.loads.flights[load.key] = flight
                flight.lead(load)
        core.misses += 1
        core.loads.add(load)
        Py_INCREF(load)
        f.slot.object = <PyObject *>load
        if known is not None and known.admits(load):
            known.join(load)
            return wait_in_line(f, load, core.clock, config.wait_ns)
        core.loads.begin(load)
        return PROCEED

    cdef bint tag(self, Frame *f, Load load) except -1:
        """Ask for its tags; return whether users' code gave any that serve."""
        try:
            load.tags = frozen_tags(load.config.tags(<object>f.message))
            return True
        except Exception as error:
            self.report(f, error)
        return False

    cdef int go_on(self, Frame *f) except -1:
        """Its wait for another is over."""
        cdef Loads loads = self.core.loads
        cdef Load load = <Load>f.slot.object
        try:
            return self.take(f, load)
        except BaseException:
            # Of a copier, an error or a clock: no `leave` comes after it.
            loads.remove(load)
            loads.pass_on(load)
            raise

    cdef int take(self, Frame *f, Load load) except -1:
        """Take what the other got, or compute it."""
        cdef CacheCore core = self.core
        cdef Role role = load.resume()
        outcome = load.outcome
        load.outcome = None
        if role == ANSWERED or role == FAILED:
            try:
                if role == FAILED:
                    set_error(f, copied_error(outcome))
                elif load.config.copier is None:
                    set_result(f, outcome)
                else:
                    set_result(f, load.config.copier(outcome))
            except Exception as error:
                self.report(f, error)
            else:
                core.loads.remove(load)
                core.loads.shared += 1
                return STOP
        load.begun_ns = read_clock(core.clock)
        core.loads.begin(load)
        return PROCEED

    cdef int leave(self, Frame *f) except -1:
        cdef CacheCore core = self.core
        cdef Loads loads = core.loads
        cdef Load load
        cdef Flight flight
        cdef bint shared, used_up
        if f.slot.object == NULL:
            return PROCEED
        load = <Load>f.slot.object
        if not load.running:
            # Its wait was ended from outside; it may just have become the leader.
            load.resume()
            loads.remove(load)
            loads.pass_on(load)
            return PROCEED
        outcome = None
        shared = used_up = False
        try:
            if f.error == NULL:
                used_up = is_used_up(f.result)
                if used_up:
                    core.pass_over((<Route>f.route).name, <object>f.result)
                else:
                    outcome = self.store(f, load, <object>f.result)
                    shared = True
            elif not is_own_fate(f):
                outcome = <object>f.error
                shared = True
                self.store_error(f, load, outcome)
        finally:
            loads.remove(load)
            flight = <Flight>load.line
            if load.role == LEADING:
                if not shared and not used_up:
                    loads.pass_on(load)
                else:
                    loads.close(load.key, flight)
                    if used_up:
                        flight.dissolve()
                    elif f.error == NULL:
                        flight.answer(outcome)
                    else:
                        flight.fail(outcome)
        return PROCEED

    cdef object store(self, Frame *f, Load load, object value):
        """Store a result; return what those who wait are given."""
        cdef CacheSettings config = load.config
        cdef CacheCore core = self.core
        cdef bint separate = True
        if config.copier is not None:
            try:
                value = config.copier(value)
            except Exception as error:
                self.report(f, error)
                separate = False
        if separate:
            core.put(load, value, core.lifetime(config, type(<object>f.message)))
        return value

    cdef int store_error(self, Frame *f, Load load, object error) except -1:
        cdef CacheSettings config = load.config
        cdef StoredError stored
        if config.negative_ttl_ns == 0 or not isinstance(error, config.negative_on):
            return 0
        detached = detached_error(error)
        if detached is None:
            return self.core.pass_over((<Route>f.route).name, error)
        stored = StoredError.__new__(StoredError)
        stored.error = detached
        ttl_ns = self.core.shortened(config, config.negative_ttl_ns)
        return self.core.put(load, stored, ttl_ns)


cdef Load make_load(
    KeyPlan plan, object key, object scope, uint64_t group, uint64_t hash,
    int64_t now_ns,
):
    cdef Load load = Load.__new__(Load)
    load.key = typed_key(plan, key, scope, group, hash)
    load.begun_ns = now_ns
    return load


cdef tuple frozen_tags(object tags):
    if isinstance(tags, str):
        raise TypeError("tags must return an iterable of tags, not one string")
    return tuple(freeze_values(tags))


internal(CachedRoute)
