"""Live reload: a Config becomes the middleware of running buses, all at one moment.

A plan is made for each bus: the registry that it will have, every route built anew
beside those in use. Then one step, in which no other code runs, publishes all of them
and puts the new settings of what keeps its state in effect. A bus that was changed in
the meantime makes the planning start again, so no change is lost.
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
    refusal,
)
from cqrs_fast.config.sections import settings_of, shown
from cqrs_fast.pipeline.frame_pool import reserve_frames

SEED = "seed"


@cython.final
cdef class Wiring:
    """What a config made of a bus; never changed, only replaced."""

    cdef object made_with       # the Config that what needs a restart comes from
    cdef frozenset overrides    # keywords of the constructor that win over a config
    cdef tuple own              # users' middleware that it came with
    cdef dict sections          # section -> (arguments, middleware)
    cdef dict metrics           # kept while they are not enabled


@cython.final
cdef class Plan:
    """The part of one bus in a reload."""

    cdef Bus bus
    cdef Registry old           # what it was made from …
    cdef Registry new           # … and what comes; the same where nothing changes
    cdef list revisions
    cdef set restart            # keys of what changes only with a restart


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
        "offload": own.offload,
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
    """Put a Config in effect on running buses, all at one moment.

    Parameters:
        config: a Config; what it does not enable leaves the buses.
        buses: command and query buses, made by `from_config` or not. The middleware of
            one that was not stays where it is, as one's own would; what differs there
            from the constructor's defaults wins over every config.

    A middleware whose settings are the same stays as it is. One that has a state keeps
    it under new settings; any other is made anew in its place. What is newly enabled
    comes in at its place of the default order, and users' own middleware keeps its
    place among its neighbours. Keywords given to `from_config` win over `config`.
    Calls in flight finish on the program they started on; one that begins in another
    sees the version of that one or a newer. What belongs to a state that all share (a
    rate, a size, a threshold, a time to live) counts as it is when a call comes to it.
    Counts of messages go on.

    Returns the sorted keys, such as "performance.pool_size", whose values are not those
    the buses were made with and that only a restart changes. Raises ConfigError where
    values do not go together, and what a factory among the middleware raises; nothing
    is changed on any bus then. TypeError for what is no Config or no bus. Safe to call
    from any thread, while handlers and middleware are registered too.
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
    """Publish all plans, or none if a bus or stage was changed; no other code runs.

    What is replaced is freed later, with the plans.
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
    """Finish every revision, whatever happens to one: they are in effect already."""
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


# What is remembered of a config

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
    """What to take a bus for that no config made."""
    overrides = {"initial_capacity", "latency_sample", "offload"}
    if registry.metrics is not None:
        overrides.add("enable_metrics")
    if registry.max_payload_bytes != MOST_PAYLOAD_BYTES:
        overrides.add("max_payload_bytes")
    return new_wiring(config, frozenset(overrides), registry.middleware, {})


cdef set restart_keys(Wiring wiring, object config, str kind):
    """The keys of what a bus was made with and cannot change."""
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
    cdef Wiring wiring = new_wiring(was.made_with, was.overrides, was.own, {})
    plan.bus, plan.old, plan.new, plan.revisions = bus, old, new, []
    plan.restart = restart_keys(was, config, bus.kind)
    new.wiring = wiring
    take_settings(new, was, getattr(config, f"{bus.kind}_bus"))
    middleware = list(old.middleware)
    standing = rearrange(middleware, was.sections, wiring, plan, config)
    new.middleware = tuple(middleware)
    if standing or new.metrics is not old.metrics or differ(new, old):
        rebuild(bus, old, new, standing)
    elif (
        old.wiring is not None
        and new.max_payload_bytes == old.max_payload_bytes
        and wiring.sections == was.sections
    ):
        plan.new = old
    return plan


cdef int take_settings(Registry new, Wiring was, object own) except -1:
    """Take over the settings of the bus itself, where no keyword wins over them."""
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
    """Whether their middleware is not the same objects in the same order."""
    if len(new.middleware) != len(old.middleware):
        return True
    return any(map(is_not, new.middleware, old.middleware))


cdef int rebuild(Bus bus, Registry old, Registry new, dict standing) except -1:
    """Build every route, with each revision in the place of what it revises."""
    cdef Handler handler
    elements = bus.prepared(old, new.middleware)
    new.elements = tuple(map(standing.get, map(id, elements), elements))
    for handler in old.handlers.values():
        bus.add_route(new, handler)
    new.elements = elements
    return 0


cdef dict rearrange(
    list middleware, dict was, Wiring wiring, Plan plan, object config
):
    """Change a list of middleware to what `config` says, and note what stands for what.

    Returns the revisions, by the id of what the list has for each.
    """
    cdef Revision revision
    cdef dict now = wiring.sections
    standing = {}
    wanted = arguments_of(config, plan.bus.kind)
    for name, (arguments, stage) in was.items():
        if name not in wanted:
            middleware[:] = [one for one in middleware if one is not stage]
            continue
        given = wanted[name]
        if SEED in given:
            # What is random goes on: only a restart begins it anew.
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
                standing[id(successor)] = revision
            now[name] = (given, successor)
            for index, one in enumerate(middleware):
                if one is stage:
                    middleware[index] = successor
    for name, arguments in wanted.items():
        if name not in was:
            stage = make(name, arguments, config)
            middleware.insert(place_of(name, middleware, wiring), stage)
            now[name] = (arguments, stage)
    return standing


cdef Revision revised(str name, Stage stage, dict arguments, object config):
    settings = {key: arguments[key] for key in arguments if key != SEED}
    try:
        return stage.revise(settings)
    except (TypeError, ValueError) as error:
        raise refusal(name, error, config) from error


cdef Py_ssize_t place_of(str name, list middleware, Wiring wiring) except -1:
    """Where a section comes in: next to its neighbours, where `from_config` has it."""
    side = list(OUTER if name in OUTER else INNER)
    at = side.index(name)
    before = places_of(made_for(side[:at], wiring), middleware)
    after = places_of(made_for(side[at + 1:], wiring), middleware)
    if before and name in OUTER:
        return max(before) + 1
    if after or name in OUTER:
        return min(after, default=0)
    if not before:
        # The first of its side: inside of what users gave, outside of what they added.
        before = places_of([*made_for(OUTER, wiring), *wiring.own], middleware)
    return max(before, default=-1) + 1


cdef list made_for(object names, Wiring wiring):
    return [stage for _, stage in found_of(names, wiring.sections)]


cdef list found_of(object names, dict given):
    """Return what is given under the names, in their order."""
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
