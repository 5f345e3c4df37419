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
    """Return the values for the most dispatches a second."""
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
        ),
    )


def low_latency_config() -> Config:
    """Return the values for the shortest slow dispatches."""
    return Config(
        middleware=MiddlewareConfig(
            logging=LoggingConfig(enabled=False),
            validation=ValidationConfig(enabled=False),
            retry=RetryConfig(max_attempts=1),
            caching=CachingConfig(default_ttl_sec=60),
        ),
    )


PRESETS: dict[str, Callable[[], Config]] = {
    "default": default_config,
    "high-throughput": high_throughput_config,
    "low-latency": low_latency_config,
}


def preset(name: str) -> Config:
    """Return a preset by its name, whose values say that they come from it."""
    return marked(PRESETS[name](), f"preset {name}")
