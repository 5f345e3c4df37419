"""Presets: the values that a whole aim asks for."""

from __future__ import annotations

from collections.abc import Callable

from cqrs_fast.config.model import (
    BusConfig,
    CachingConfig,
    Config,
    LoggingConfig,
    MiddlewareConfig,
    PerformanceConfig,
    RetryConfig,
    ValidationConfig,
)
from cqrs_fast.config.sections import marked


def default_config() -> Config:
    """Return the defaults: a new Config to which nothing was given."""
    return Config()


def high_throughput_config() -> Config:
    """Return the values for the most dispatches a second.

    What they cost, beside their gain:

    - `caching`: 100,000 answers for five minutes take memory, and may be that old.
    - `retry`: two attempts, 10 ms apart: a handler that is down for longer fails.
    - `initial_capacity`: tables for 1024 routes take 32 kB in each bus, and so does a
      copy of them with each registration.
    - `pool_size` with `enable_preallocation`: 500 frames, 350 kB, are made with the
      first bus; a burst of so many async dispatches makes none.
    - `gc_percent=50`: garbage in cycles is freed sooner and the heap stays smaller, but
      collecting twice as often costs throughput. Only `performance_tuning` applies it;
      leave that out, or set 100, where memory is no concern.
    - `latency_sample=100`: where metrics are enabled every dispatch is counted and one
      of 100 is timed: percentiles need 100 times as long to settle.
    """
    return Config(
        command_bus=BusConfig(initial_capacity=1024),
        query_bus=BusConfig(initial_capacity=1024),
        middleware=MiddlewareConfig(
            caching=CachingConfig(max_size=100_000, default_ttl_sec=300),
            retry=RetryConfig(max_attempts=2, base_delay_ms=10),
        ),
        performance=PerformanceConfig(
            enable_pooling=True,
            pool_size=500,
            enable_preallocation=True,
            gc_percent=50,
            latency_sample=100,
        ),
    )


def low_latency_config() -> Config:
    """Return the values for the shortest slow dispatches.

    What they cost, beside their gain:

    - `validation` is off: messages built in Python reach handlers as they are, however
      bad. Those that come as JSON or MessagePack are still checked.
    - `retry` makes one attempt: every transient error reaches the caller.
    - `caching` for a minute: more queries are computed again.
    - `gc_percent=1000`: collections are a tenth as many, each with ten times as many
      new objects; garbage in cycles waits longer, so the heap is larger.
    - `gc_freeze`: no collection looks at what exists when `performance_tuning` is
      entered until it is left. What of that becomes garbage in cycles stays.

    The last two take effect in `performance_tuning` alone; enter it after warm-up.
    """
    return Config(
        middleware=MiddlewareConfig(
            logging=LoggingConfig(enabled=False),
            validation=ValidationConfig(enabled=False),
            retry=RetryConfig(max_attempts=1),
            caching=CachingConfig(default_ttl_sec=60),
        ),
        performance=PerformanceConfig(gc_percent=1000, gc_freeze=True),
    )


PRESETS: dict[str, Callable[[], Config]] = {
    "default": default_config,
    "high-throughput": high_throughput_config,
    "low-latency": low_latency_config,
}


def preset(name: str) -> Config:
    """Return a preset by its name, whose values say that they come from it."""
    return marked(PRESETS[name](), f"preset {name}")
