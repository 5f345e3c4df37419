"""Dispatch commands and queries through a compiled, protected pipeline."""

from typing import TYPE_CHECKING

from cqrs_fast.build import build_info
from cqrs_fast.bus import CommandBus, QueryBus
from cqrs_fast.context import Context
from cqrs_fast.errors import (
    AsyncHandlerError,
    BulkheadFullError,
    BusClosedError,
    CircuitOpenError,
    ConfigError,
    ContextCancelledError,
    CQRSError,
    DeadlineExceededError,
    HandlerAlreadyRegisteredError,
    HandlerNotFoundError,
    IdempotencyConflictError,
    IdempotencyInProgressError,
    MiddlewareOrderWarning,
    OverloadedError,
    PoolExhaustedError,
    RateLimitExceededError,
    RejectedError,
    ResultTypeError,
    ValidationError,
)
from cqrs_fast.messages import Command, Event, Query, Secret, message_name
from cqrs_fast.pipeline.composite import handles
from cqrs_fast.pipeline.description import RouteInfo, StageInfo
from cqrs_fast.pipeline.gate import DrainReport
from cqrs_fast.pipeline.middleware import Middleware, middleware
from cqrs_fast.policies.latency_histogram import LatencyHistogram
from cqrs_fast.stages.stats import BusStats, MessageStats, MiddlewareStats

# What many programs do without is loaded when it is first asked for: each compiled
# module costs a part of a millisecond at import.
_LAZY = {
    "AuditEvent": "cqrs_fast.stages.audit_event",
    "AuditMiddleware": "cqrs_fast.stages.audit",
    "AuthenticationMiddleware": "cqrs_fast.stages.authentication",
    "BulkheadMiddleware": "cqrs_fast.stages.bulkhead",
    "BulkheadStats": "cqrs_fast.stages.middleware_stats",
    "CacheStats": "cqrs_fast.stages.middleware_stats",
    "CachingMiddleware": "cqrs_fast.stages.caching",
    "CircuitBreaker": "cqrs_fast.policies.circuit_breaker",
    "CircuitBreakerMiddleware": "cqrs_fast.stages.circuit_breaker",
    "CircuitEvent": "cqrs_fast.policies.circuit_state",
    "CircuitSnapshot": "cqrs_fast.policies.circuit_state",
    "CoarseClock": "cqrs_fast.clock",
    "Config": "cqrs_fast.config.model",
    "BulkheadConfig": "cqrs_fast.config.model",
    "BusConfig": "cqrs_fast.config.model",
    "CachingConfig": "cqrs_fast.config.model",
    "CircuitBreakerConfig": "cqrs_fast.config.model",
    "LoggingConfig": "cqrs_fast.config.model",
    "MiddlewareConfig": "cqrs_fast.config.model",
    "MonitoringConfig": "cqrs_fast.config.model",
    "PerformanceConfig": "cqrs_fast.config.model",
    "RateLimitingConfig": "cqrs_fast.config.model",
    "RetryConfig": "cqrs_fast.config.model",
    "TimeoutConfig": "cqrs_fast.config.model",
    "TracingConfig": "cqrs_fast.config.model",
    "ValidationConfig": "cqrs_fast.config.model",
    "default_config": "cqrs_fast.config.presets",
    "high_throughput_config": "cqrs_fast.config.presets",
    "ConfigManager": "cqrs_fast.config.manager",
    "load_config": "cqrs_fast.config.loading",
    "load_config_from_env": "cqrs_fast.config.loading",
    "load_environment_config": "cqrs_fast.config.loading",
    "low_latency_config": "cqrs_fast.config.presets",
    "merge_configs": "cqrs_fast.config.loading",
    "DebugMiddleware": "cqrs_fast.stages.debug",
    "execute_typed": "cqrs_fast.typed",
    "execute_typed_async": "cqrs_fast.typed",
    "FallbackMiddleware": "cqrs_fast.stages.fallback",
    "IdempotencyMiddleware": "cqrs_fast.stages.idempotency",
    "IdempotencyStats": "cqrs_fast.stages.middleware_stats",
    "LoggingMiddleware": "cqrs_fast.stages.logging",
    "LRUCache": "cqrs_fast.policies.lru_cache",
    "LRUCacheStats": "cqrs_fast.policies.lru_cache_stats",
    "ObjectPool": "cqrs_fast.pool",
    "PooledHandler": "cqrs_fast.pooled_handler",
    "PoolStats": "cqrs_fast.pool_stats",
    "performance_tuning": "cqrs_fast.config.tuning",
    "RateLimitingMiddleware": "cqrs_fast.stages.rate_limiting",
    "RateLimitStats": "cqrs_fast.stages.middleware_stats",
    "reserve_frames": "cqrs_fast.pipeline.async_driver",
    "RetryMiddleware": "cqrs_fast.stages.retry",
    "RetryPolicy": "cqrs_fast.policies.retry_policy",
    "RetryStats": "cqrs_fast.policies.retry_stats",
    "SlowCallMiddleware": "cqrs_fast.stages.slow_call",
    "TimeoutMiddleware": "cqrs_fast.stages.timeout",
    "TimeoutStats": "cqrs_fast.stages.middleware_stats",
    "TokenBucket": "cqrs_fast.policies.token_bucket",
    "ValidationMiddleware": "cqrs_fast.stages.validation",
}

if TYPE_CHECKING:
    from cqrs_fast.clock import CoarseClock
    from cqrs_fast.config.loading import (
        load_config,
        load_config_from_env,
        load_environment_config,
        merge_configs,
    )
    from cqrs_fast.config.manager import ConfigManager
    from cqrs_fast.config.model import (
        BulkheadConfig,
        BusConfig,
        CachingConfig,
        CircuitBreakerConfig,
        Config,
        LoggingConfig,
        MiddlewareConfig,
        MonitoringConfig,
        PerformanceConfig,
        RateLimitingConfig,
        RetryConfig,
        TimeoutConfig,
        TracingConfig,
        ValidationConfig,
    )
    from cqrs_fast.config.presets import (
        default_config,
        high_throughput_config,
        low_latency_config,
    )
    from cqrs_fast.config.tuning import performance_tuning
    from cqrs_fast.pipeline.async_driver import reserve_frames
    from cqrs_fast.policies.circuit_breaker import CircuitBreaker
    from cqrs_fast.policies.circuit_state import CircuitEvent, CircuitSnapshot
    from cqrs_fast.policies.lru_cache import LRUCache
    from cqrs_fast.policies.lru_cache_stats import LRUCacheStats
    from cqrs_fast.policies.retry_policy import RetryPolicy
    from cqrs_fast.policies.retry_stats import RetryStats
    from cqrs_fast.policies.token_bucket import TokenBucket
    from cqrs_fast.pool import ObjectPool
    from cqrs_fast.pool_stats import PoolStats
    from cqrs_fast.pooled_handler import PooledHandler
    from cqrs_fast.stages.audit import AuditMiddleware
    from cqrs_fast.stages.audit_event import AuditEvent
    from cqrs_fast.stages.authentication import AuthenticationMiddleware
    from cqrs_fast.stages.bulkhead import BulkheadMiddleware
    from cqrs_fast.stages.caching import CachingMiddleware
    from cqrs_fast.stages.circuit_breaker import CircuitBreakerMiddleware
    from cqrs_fast.stages.debug import DebugMiddleware
    from cqrs_fast.stages.fallback import FallbackMiddleware
    from cqrs_fast.stages.idempotency import IdempotencyMiddleware
    from cqrs_fast.stages.logging import LoggingMiddleware
    from cqrs_fast.stages.middleware_stats import (
        BulkheadStats,
        CacheStats,
        IdempotencyStats,
        RateLimitStats,
        TimeoutStats,
    )
    from cqrs_fast.stages.rate_limiting import RateLimitingMiddleware
    from cqrs_fast.stages.retry import RetryMiddleware
    from cqrs_fast.stages.slow_call import SlowCallMiddleware
    from cqrs_fast.stages.timeout import TimeoutMiddleware
    from cqrs_fast.stages.validation import ValidationMiddleware
    from cqrs_fast.typed import execute_typed, execute_typed_async

__all__ = [
    "AsyncHandlerError",
    "AuditEvent",
    "AuditMiddleware",
    "AuthenticationMiddleware",
    "BulkheadConfig",
    "BulkheadFullError",
    "BulkheadMiddleware",
    "BulkheadStats",
    "BusClosedError",
    "BusConfig",
    "BusStats",
    "CQRSError",
    "CacheStats",
    "CachingConfig",
    "CachingMiddleware",
    "CircuitBreaker",
    "CircuitBreakerConfig",
    "CircuitBreakerMiddleware",
    "CircuitEvent",
    "CircuitOpenError",
    "CircuitSnapshot",
    "CoarseClock",
    "Command",
    "CommandBus",
    "Config",
    "ConfigError",
    "ConfigManager",
    "Context",
    "ContextCancelledError",
    "DeadlineExceededError",
    "DebugMiddleware",
    "DrainReport",
    "Event",
    "FallbackMiddleware",
    "HandlerAlreadyRegisteredError",
    "HandlerNotFoundError",
    "IdempotencyConflictError",
    "IdempotencyInProgressError",
    "IdempotencyMiddleware",
    "IdempotencyStats",
    "LRUCache",
    "LRUCacheStats",
    "LatencyHistogram",
    "LoggingConfig",
    "LoggingMiddleware",
    "MessageStats",
    "Middleware",
    "MiddlewareConfig",
    "MiddlewareOrderWarning",
    "MiddlewareStats",
    "MonitoringConfig",
    "ObjectPool",
    "OverloadedError",
    "PerformanceConfig",
    "PoolExhaustedError",
    "PoolStats",
    "PooledHandler",
    "Query",
    "QueryBus",
    "RateLimitExceededError",
    "RateLimitStats",
    "RateLimitingConfig",
    "RateLimitingMiddleware",
    "RejectedError",
    "ResultTypeError",
    "RetryConfig",
    "RetryMiddleware",
    "RetryPolicy",
    "RetryStats",
    "RouteInfo",
    "Secret",
    "SlowCallMiddleware",
    "StageInfo",
    "TimeoutConfig",
    "TimeoutMiddleware",
    "TimeoutStats",
    "TokenBucket",
    "TracingConfig",
    "ValidationConfig",
    "ValidationError",
    "ValidationMiddleware",
    "build_info",
    "default_config",
    "execute_typed",
    "execute_typed_async",
    "handles",
    "high_throughput_config",
    "load_config",
    "load_config_from_env",
    "load_environment_config",
    "low_latency_config",
    "merge_configs",
    "message_name",
    "middleware",
    "performance_tuning",
    "reserve_frames",
]


if not TYPE_CHECKING:  # a type checker that saw it would take any name

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module 'cqrs_fast' has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(_LAZY[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
