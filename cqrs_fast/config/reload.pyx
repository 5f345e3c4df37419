"""Live reload: a Config becomes the middleware of running buses, all at one moment.

A plan for each bus holds its next registry, with new routes beside those in use. Then
one step, in which no other code runs, publishes all plans and applies the new settings
of stages that keep their state. If a bus has changed since, the planning starts again,
so no change is lost.
"""

cimport cython

from cqrs_fast.assembly.builder cimport Handler
from cqrs_fast.assembly.registry cimport Registry, publish
from cqrs_fast.base.sealing cimport internal
from cqrs_fast.buses.bus cimport Bus
from cqrs_fast.pipeline.stage cimport Revision, Stage

from operator import is_not

from cqrs_fast.assembly.registry import MOST_PAYLOAD_BYTES
from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.buses.bus import CommandBus
from cqrs_fast.config.assembly import (
    INNER,
    OUTER,
    arguments_of,
    checked,
    make,
    rejection,
)
from cqrs_fast.config.sections import settings_of, shown
from cqrs_fast.pipeline.frame_pool import reserve_frames

SEED = "seed"


@cython.final
cdef class Wiring:
    """What a config gave to a bus. Immutable."""

    cdef object made_with       # the Config of what only a restart changes
    cdef frozenset overrides    # keywords of the constructor that win over a config
    cdef tuple own              # middleware of the user
    cdef dict sections          # section -> (arguments, middleware)
    cdef dict metrics           # kept while metrics are disabled


@cython.final
cdef class Plan:
    """The part of one bus in a reload."""

    cdef Bus bus
    cdef Registry old
    cdef Registry new           # the same if nothing changes
    cdef list revisions
    cdef set restart            # keys that only a restart changes


def bus_of(cls, config, dict overrides not None):
    """Make a bus; see `Bus.from_config`."""
    kind = "command" if issubclass(cls, CommandBus) else "query"
    arguments = arguments_of(config, kind)
    own = getattr(config, f"{kind}_bus")
    made = {name: make(name, given, config) for name, given in arguments.items()}
    performance = config.performance
    keywords = {
        "enable_metrics": own.enable_metrics,
        "latency_sample": performance.latency_sample,
        "initial_capacity": own.initial_capacity,
        "max_payload_bytes": own.max_payload_bytes,
        **overrides,
    }
    own = tuple(overrides.get("middleware", ()))
    keywords["middleware"] = (
        *found_of(OUTER, made),
        *own,
        *found_of(INNER, made),
    )
    sections = {name: (arguments[name], made[name]) for name in made}
    bus = cls(**keywords)
    if performance.enable_pooling:
        reserve_frames(performance.pool_size, performance.enable_preallocation)
    wire(bus, new_wiring(config, frozenset(overrides), own, sections))
    return bus


def apply_config(config, buses):
    """Apply a Config to running buses, all at one moment.

    Parameters:
        config: a Config; what it does not enable is removed from the buses.
        buses: command and query buses. The middleware of a bus that was not made by
            `from_config` counts as the user's, and what differs from the constructor's
            defaults wins over every config.

    Middleware with unchanged settings stays as it is. Middleware with a state keeps it
    under new settings; other middleware is replaced. Newly enabled middleware gets its
    place of the default order, and the user's keeps its place among its neighbours.
    Keywords given to `from_config` win over `config`. Calls in flight finish on their
    route; a nested call uses the same version or a newer one. Settings of a shared
    state (a rate, a size, a threshold, a time to live) count as they are when a call
    reaches the stage. Counts of messages continue.

    Returns the sorted keys, such as "performance.pool_size", that differ from what the
    buses were made with and that only a restart changes. Raises ConfigError if values
    contradict each other, and what a factory among the middleware raises; no bus has
    changed then. TypeError for no Config or no bus. Safe to call from any thread, also
    while handlers and middleware are registered.
    """
    cdef Plan plan
    checked(config)
    targets = distinct_buses(buses)
    while True:
        plans = []
        for bus in targets:
            plans.append(plan_for(bus, config))
        if swap(plans):
            break
    settle([revision for plan in plans for revision in plan.revisions])
    return sorted({key for plan in plans for key in plan.restart})


cdef list distinct_buses(object buses):
    found = {}
    for bus in buses:
        if not isinstance(bus, Bus) or (<Bus>bus).kind is None:
            raise TypeError(f"expected a CommandBus or a QueryBus, got {shown(bus)}")
        found[id(bus)] = bus
    return list(found.values())


cdef bint swap(list plans) noexcept:
    """Publish all plans, or none if a bus or stage has changed; no other code runs.

    The replaced objects are freed later, with the plans.
    """
    cdef Py_ssize_t index, inner
    cdef Plan plan
    for index in range(len(plans)):
        plan = <Plan>plans[index]
        if plan.bus.registry is not plan.old:
            return False
        for inner in range(len(plan.revisions)):
            if not (<Revision>plan.revisions[inner]).is_current():
                return False
    for index in range(len(plans)):
        plan = <Plan>plans[index]
        for inner in range(len(plan.revisions)):
            (<Revision>plan.revisions[inner]).apply()
        publish(plan.bus, plan.old, plan.new)
    return True


cdef int settle(list revisions, Py_ssize_t begun=0) except -1:
    """Finish every revision, even if one fails: they are in effect already."""
    cdef Revision revision
    if begun == len(revisions):
        return 0
    revision = revisions[begun]
    try:
        revision.finish()
    except Exception as error:
        report_callback_error("reload", type(revision.stage).__name__, error)
    finally:
        settle(revisions, begun + 1)
    return 0


# The wiring of a bus

cdef Wiring new_wiring(
    object made_with, frozenset overrides, tuple own, dict sections
):
    cdef Wiring wiring = Wiring.__new__(Wiring)
    wiring.made_with = made_with
    wiring.overrides = overrides
    wiring.own = own
    wiring.sections = sections
    return wiring


cdef int wire(Bus bus, Wiring wiring) except -1:
    cdef Registry old, new
    while True:
        old = bus.registry
        new = old.copy()
        new.wiring = wiring
        if publish(bus, old, new):
            return 0


cdef Wiring adopted(Registry registry, object config):
    """Return the wiring of a bus that no config made."""
    overrides = {"initial_capacity", "latency_sample"}
    if registry.metrics is not None:
        overrides.add("enable_metrics")
    if registry.max_payload_bytes != MOST_PAYLOAD_BYTES:
        overrides.add("max_payload_bytes")
    return new_wiring(config, frozenset(overrides), registry.middleware, {})


cdef set restart_keys(Wiring wiring, object config, str kind):
    """Return the keys that differ and that a bus cannot change."""
    was, now = fixed(wiring.made_with, kind), fixed(config, kind)
    changed = {key for key in now if now[key] != was[key]}
    if "initial_capacity" in wiring.overrides:
        changed.discard(f"{kind}_bus.initial_capacity")
    if "latency_sample" in wiring.overrides:
        changed.discard("performance.latency_sample")
    changed.discard("performance.coarse_clock")     # it does nothing
    return changed


cdef dict fixed(object config, str kind):
    own = f"{kind}_bus"
    found = {f"{own}.initial_capacity": getattr(config, own).initial_capacity}
    for name in ("performance", "monitoring"):
        for setting in settings_of(getattr(config, name), f"{name}."):
            found[setting.key] = setting.value
    return found


# Planning

cdef Plan plan_for(Bus bus, object config):
    cdef Plan plan = Plan.__new__(Plan)
    cdef Registry old = bus.registry
    cdef Registry new = old.copy()
    cdef Wiring was = adopted(old, config) if old.wiring is None else old.wiring
    cdef Wiring wiring = new_wiring(was.made_with, was.overrides, was.own, {})
    plan.bus, plan.old, plan.new, plan.revisions = bus, old, new, []
    plan.restart = restart_keys(was, config, bus.kind)
    new.wiring = wiring
    take_settings(new, was, getattr(config, f"{bus.kind}_bus"))
    middleware = list(old.middleware)
    substitutes = rearrange(middleware, was.sections, wiring, plan, config)
    new.middleware = tuple(middleware)
    if substitutes or new.metrics is not old.metrics or differ(new, old):
        rebuild(bus, old, new, substitutes)
    elif (
        old.wiring is not None
        and new.max_payload_bytes == old.max_payload_bytes
        and wiring.sections == was.sections
    ):
        plan.new = old
    return plan


cdef int take_settings(Registry new, Wiring was, object own) except -1:
    """Copy the settings of the bus itself that no keyword overrides."""
    cdef Wiring wiring = new.wiring
    wiring.metrics = was.metrics if new.metrics is None else new.metrics
    if "enable_metrics" not in was.overrides:
        new.metrics = None
        if own.enable_metrics:
            new.metrics = {} if wiring.metrics is None else wiring.metrics
    if "max_payload_bytes" not in was.overrides:
        new.max_payload_bytes = own.max_payload_bytes
    return 0


cdef bint differ(Registry new, Registry old) except -1:
    """Return whether their middleware is not the same objects in the same order."""
    if len(new.middleware) != len(old.middleware):
        return True
    return any(map(is_not, new.middleware, old.middleware))


cdef int rebuild(Bus bus, Registry old, Registry new, dict substitutes) except -1:
    """Build every route, with each revision instead of its stage."""
    cdef Handler handler
    elements = bus.prepared(old, new.middleware)
    new.elements = tuple(map(substitutes.get, map(id, elements), elements))
    for handler in old.handlers.values():
        bus.add_route(new, handler)
    new.elements = elements
    return 0


cdef dict rearrange(
    list middleware, dict was, Wiring wiring, Plan plan, object config
):
    """Change a list of middleware to what `config` enables.

    Returns the revisions, by the id of the stage that the list has for each.
    """
    cdef Revision revision
    cdef dict now = wiring.sections
    substitutes = {}
    wanted = arguments_of(config, plan.bus.kind)
    for name, (arguments, stage) in was.items():
        if name not in wanted:
            middleware[:] = [one for one in middleware if one is not stage]
            continue
        given = wanted[name]
        if SEED in given:
            # Random sequences continue: only a restart uses a new seed.
            if given[SEED] != arguments[SEED]:
                plan.restart.add(f"middleware.{name}.{SEED}")
            given[SEED] = arguments[SEED]
        now[name] = (given, stage)
        if given != arguments:
            revision = revised(name, stage, given, config)
            if revision is None:
                successor = make(name, given, config)
            else:
                plan.revisions.append(revision)
                successor = revision.stage
                substitutes[id(successor)] = revision
            now[name] = (given, successor)
            for index, one in enumerate(middleware):
                if one is stage:
                    middleware[index] = successor
    for name, arguments in wanted.items():
        if name not in was:
            stage = make(name, arguments, config)
            middleware.insert(place_of(name, middleware, wiring), stage)
            now[name] = (arguments, stage)
    return substitutes


cdef Revision revised(str name, Stage stage, dict arguments, object config):
    settings = {key: arguments[key] for key in arguments if key != SEED}
    try:
        return stage.revise(settings)
    except (TypeError, ValueError) as error:
        raise rejection(name, error, config) from error


cdef Py_ssize_t place_of(str name, list middleware, Wiring wiring) except -1:
    """Return the place of a section: next to its neighbours, as `from_config` does."""
    side = list(OUTER if name in OUTER else INNER)
    at = side.index(name)
    before = places_of(made_for(side[:at], wiring), middleware)
    after = places_of(made_for(side[at + 1:], wiring), middleware)
    if before and name in OUTER:
        return max(before) + 1
    if after or name in OUTER:
        return min(after, default=0)
    if not before:
        # The first of its side: inside the user's middleware, outside of later ones.
        before = places_of([*made_for(OUTER, wiring), *wiring.own], middleware)
    return max(before, default=-1) + 1


cdef list made_for(object names, Wiring wiring):
    return [stage for _, stage in found_of(names, wiring.sections)]


cdef list found_of(object names, dict given):
    """Return the values of the names that are given, in the order of the names."""
    return list(map(given.get, [name for name in names if name in given]))


cdef list places_of(list stages, list middleware):
    wanted = {id(stage) for stage in stages}
    found = []
    for index, one in enumerate(middleware):
        if id(one) in wanted:
            found.append(index)
    return found


internal(Wiring)
internal(Plan)
