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
from cqrs_fast.config.wiring cimport Wiring, new_wiring
from cqrs_fast.pipeline.stage cimport Revision, Stage

from operator import is_not

from cqrs_fast.assembly.registry import MOST_PAYLOAD_BYTES
from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.buses.bus import CommandBus
from cqrs_fast.config.assembly import (
    INNER, MIDDLEWARE, OUTER, arguments_of, checked, made_all, make, messages_of,
    rejection, standby_of,
)
from cqrs_fast.config.sections import settings_of, shown
from cqrs_fast.config.tailoring import found_of, place_of
from cqrs_fast.pipeline.frame_pool import reserve_frames

SEED = "seed"


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
    checked(config)
    own = tuple(overrides.get("middleware", ()))
    cdef Wiring wiring = new_wiring(config, frozenset(overrides), own)
    wiring.sections = made_all(arguments_of(config, kind), config.middleware)
    wiring.standby = made_all(standby_of(config, kind), config.middleware)
    wiring.messages = {
        name: made_all(arguments, middleware, key)
        for name, arguments, middleware, key in messages_of(config, kind)
    }
    performance = config.performance
    settings = getattr(config, f"{kind}_bus")
    keywords = {
        "enable_metrics": settings.enable_metrics,
        "latency_sample": performance.latency_sample,
        "initial_capacity": settings.initial_capacity,
        "max_payload_bytes": settings.max_payload_bytes,
        "offload": settings.offload,
        **overrides,
    }
    keywords["middleware"] = (
        *found_of(OUTER, wiring.sections),
        *own,
        *found_of(INNER, wiring.sections),
    )
    bus = cls(**keywords)
    if performance.enable_pooling:
        reserve_frames(performance.pool_size, performance.enable_preallocation)
    wire(bus, wiring)
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

cdef int wire(Bus bus, Wiring wiring) except -1:
    cdef Registry old, new
    while True:
        old = bus.registry
        new = old.copy()
        new.wiring = wiring
        # A constructor of the user may have registered handlers.
        rebuild(bus, old, new, {})
        if publish(bus, old, new):
            return 0


cdef Wiring adopted(Registry registry, object config):
    """Return the wiring of a bus that no config made."""
    overrides = {"initial_capacity", "latency_sample", "offload"}
    if registry.metrics is not None:
        overrides.add("enable_metrics")
    if registry.max_payload_bytes != MOST_PAYLOAD_BYTES:
        overrides.add("max_payload_bytes")
    return new_wiring(config, frozenset(overrides), registry.middleware)


cdef set restart_keys(Wiring wiring, object config, str kind):
    """Return the keys that differ and that a bus cannot change."""
    was, now = fixed(wiring.made_with, kind), fixed(config, kind)
    changed = {key for key in now if now[key] != was[key]}
    for setting in ("initial_capacity", "offload"):
        if setting in wiring.overrides:
            changed.discard(f"{kind}_bus.{setting}")
    if "latency_sample" in wiring.overrides:
        changed.discard("performance.latency_sample")
    changed.discard("performance.coarse_clock")     # it does nothing
    return changed


cdef dict fixed(object config, str kind):
    own = f"{kind}_bus"
    found = {
        f"{own}.initial_capacity": getattr(config, own).initial_capacity,
        f"{own}.offload": getattr(config, own).offload,
    }
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
    cdef Wiring wiring = new_wiring(was.made_with, was.overrides, was.own)
    plan.bus, plan.old, plan.new, plan.revisions = bus, old, new, []
    plan.restart = restart_keys(was, config, bus.kind)
    new.wiring = wiring
    take_settings(new, was, getattr(config, f"{bus.kind}_bus"))
    middleware = list(old.middleware)
    cdef Follower to = Follower.__new__(Follower)
    to.plan, to.config, to.substitutes = plan, config, {}
    rearrange(middleware, was, wiring, to)
    new.middleware = tuple(middleware)
    if (
        to.substitutes
        or new.metrics is not old.metrics
        or differ(new, old)
        or wiring.standby != was.standby
        or wiring.messages != was.messages
    ):
        rebuild(bus, old, new, to.substitutes)
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
    cdef Wiring wiring = new.wiring
    elements = bus.prepared(old, new.middleware)
    new.elements = tuple(map(substitutes.get, map(id, elements), elements))
    wiring.substitutes = substitutes
    for handler in old.handlers.values():
        bus.add_route(new, handler)
    wiring.substitutes = {}
    new.elements = elements
    return 0


cdef int rearrange(list middleware, Wiring was, Wiring wiring, Follower to) except -1:
    """Change a list of middleware, and what single messages have, to a new config."""
    cdef dict now = wiring.sections
    kind = to.plan.bus.kind
    wanted = arguments_of(to.config, kind)
    sections = to.config.middleware
    for name, pair in was.sections.items():
        if name not in wanted:
            middleware[:] = [one for one in middleware if one is not pair[1]]
            continue
        now[name] = to.follow(name, pair, wanted[name], sections, MIDDLEWARE)
        for index, one in enumerate(middleware):
            if one is pair[1]:
                middleware[index] = now[name][1]
    for name, given in wanted.items():
        if name not in was.sections:
            pair = was.standby.get(name)
            now[name] = to.follow(name, pair, given, sections, MIDDLEWARE)
            place = place_of(name, middleware, now, wiring.own)
            middleware.insert(place, now[name][1])
    for name, given in standby_of(to.config, kind).items():
        pair = was.standby.get(name, was.sections.get(name))
        wiring.standby[name] = to.follow(name, pair, given, sections, MIDDLEWARE)
    for one in messages_of(to.config, kind):
        known = was.messages.get(one.name, {})
        wiring.messages[one.name] = {
            name: to.follow(name, known.get(name), given, one.middleware, one.key)
            for name, given in one.arguments.items()
        }
    return 0


@cython.final
cdef class Follower:
    """Let middleware follow a config; its Revisions are kept until all are planned."""

    cdef Plan plan
    cdef object config
    cdef dict substitutes       # id of a stage -> its Revision

    cdef tuple follow(
        self, str name, tuple pair, dict given, object sections, str key
    ):
        """Return the arguments and the middleware of a section under new arguments."""
        cdef Revision revision
        if given is None:
            return None, None
        if pair is None or pair[1] is None:
            return given, make(name, given, sections, key)
        arguments, stage = pair
        if SEED in given:
            # Random sequences continue: only a restart uses a new seed.
            if given[SEED] != arguments[SEED]:
                self.plan.restart.add(f"{key}.{name}.{SEED}")
            given[SEED] = arguments[SEED]
        if given == arguments:
            return given, stage
        settings = {name: given[name] for name in given if name != SEED}
        try:
            revision = (<Stage>stage).revise(settings)
        except (TypeError, ValueError) as error:
            raise rejection(name, error, sections, key) from error
        if revision is None:
            return given, make(name, given, sections, key)
        self.plan.revisions.append(revision)
        self.substitutes[id(revision.stage)] = revision
        return given, revision.stage


internal(Follower)
internal(Plan)
