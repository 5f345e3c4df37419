"""Presets: the values for one aim."""

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
    """Return a new Config with the defaults."""
    return Config()


def high_throughput_config() -> Config:
    """Return the values for the most dispatches per second.

    Their costs:

    - `caching`: 100,000 answers take memory, and may be five minutes old.
    - `retry`: two attempts, 10 ms apart: a handler that is down for longer fails.
    - `initial_capacity`: tables for 1024 routes take 32 kB in each bus, and each
      registration copies them.
    - `pool_size` with `enable_preallocation`: the first bus makes 500 frames, 350 kB; a
      burst of so many async dispatches makes none.
    - `gc_percent=50`: garbage in cycles is freed sooner and the heap stays smaller, but
      twice as many collections cost throughput. Only `performance_tuning` applies it;
      omit that, or set 100, if memory does not matter.
    - `latency_sample=100`: metrics count every dispatch and time one of 100, so
      percentiles need 100 times as long to settle.
    """
    return Config(
        command_bus=BusConfig(initial_capacity=1024),
        query_bus=BusConfig(initial_capacity=1024),
        middleware=MiddlewareConfig(
            caching=CachingConfig(
                enabled=True, max_size=100_000, default_ttl_sec=300
            ),
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
    """Return the values for the lowest latency of the slowest dispatches.

    Their costs:

    - `validation` is off: handlers get unchecked messages from Python code. JSON and
      MessagePack payloads are still checked.
    - `retry` makes one attempt: every transient error reaches the caller.
    - `caching` for a minute: more queries are computed again.
    - `gc_percent=1000`: a tenth of the collections, each with ten times as many new
      objects. Garbage in cycles is freed later, so the heap is larger.
    - `gc_freeze`: collections ignore the objects that exist when `performance_tuning`
      is entered, until it is left. Garbage among these objects is not freed before.

    Only `performance_tuning` applies the last two; enter it after warm-up.
    """
    return Config(
        middleware=MiddlewareConfig(
            logging=LoggingConfig(enabled=False),
            validation=ValidationConfig(enabled=False),
            retry=RetryConfig(max_attempts=1),
            caching=CachingConfig(enabled=True, default_ttl_sec=60),
        ),
        performance=PerformanceConfig(gc_percent=1000, gc_freeze=True),
    )


PRESETS: dict[str, Callable[[], Config]] = {
    "default": default_config,
    "high-throughput": high_throughput_config,
    "low-latency": low_latency_config,
}


def preset(name: str) -> Config:
    """Return a preset by its name, with the preset as the origin of its values."""
    return marked(PRESETS[name](), f"preset {name}")
