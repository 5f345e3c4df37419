"""The public names, for type checkers; `__init__.py` loads them."""

from cqrs_fast.assembly.composite import handles as handles
from cqrs_fast.assembly.description import (
    RouteInfo as RouteInfo,
)
from cqrs_fast.assembly.description import (
    StageInfo as StageInfo,
)
from cqrs_fast.base.build import build_info as build_info
from cqrs_fast.base.clock import CoarseClock as CoarseClock
from cqrs_fast.buses.bus import CommandBus as CommandBus
from cqrs_fast.buses.bus import QueryBus as QueryBus
from cqrs_fast.buses.typed import (
    execute_typed as execute_typed,
)
from cqrs_fast.buses.typed import (
    execute_typed_async as execute_typed_async,
)
from cqrs_fast.config.loading import (
    load_config as load_config,
)
from cqrs_fast.config.loading import (
    load_config_from_env as load_config_from_env,
)
from cqrs_fast.config.loading import (
    load_environment_config as load_environment_config,
)
from cqrs_fast.config.loading import (
    merge_configs as merge_configs,
)
from cqrs_fast.config.manager import ConfigManager as ConfigManager
from cqrs_fast.config.model import (
    BulkheadConfig as BulkheadConfig,
)
from cqrs_fast.config.model import (
    BusConfig as BusConfig,
)
from cqrs_fast.config.model import (
    CachingConfig as CachingConfig,
)
from cqrs_fast.config.model import (
    CircuitBreakerConfig as CircuitBreakerConfig,
)
from cqrs_fast.config.model import (
    Config as Config,
)
from cqrs_fast.config.model import (
    LoggingConfig as LoggingConfig,
)
from cqrs_fast.config.model import (
    MiddlewareConfig as MiddlewareConfig,
)
from cqrs_fast.config.model import (
    MonitoringConfig as MonitoringConfig,
)
from cqrs_fast.config.model import (
    PerformanceConfig as PerformanceConfig,
)
from cqrs_fast.config.model import (
    RateLimitingConfig as RateLimitingConfig,
)
from cqrs_fast.config.model import (
    RetryConfig as RetryConfig,
)
from cqrs_fast.config.model import (
    TimeoutConfig as TimeoutConfig,
)
from cqrs_fast.config.model import (
    TracingConfig as TracingConfig,
)
from cqrs_fast.config.model import (
    ValidationConfig as ValidationConfig,
)
from cqrs_fast.config.presets import (
    default_config as default_config,
)
from cqrs_fast.config.presets import (
    high_throughput_config as high_throughput_config,
)
from cqrs_fast.config.presets import (
    low_latency_config as low_latency_config,
)
from cqrs_fast.config.tuning import performance_tuning as performance_tuning
from cqrs_fast.context import Context as Context
from cqrs_fast.errors import (
    AsyncHandlerError as AsyncHandlerError,
)
from cqrs_fast.errors import (
    BulkheadFullError as BulkheadFullError,
)
from cqrs_fast.errors import (
    BusClosedError as BusClosedError,
)
from cqrs_fast.errors import (
    CircuitOpenError as CircuitOpenError,
)
from cqrs_fast.errors import (
    ConfigError as ConfigError,
)
from cqrs_fast.errors import (
    ContextCancelledError as ContextCancelledError,
)
from cqrs_fast.errors import (
    CQRSError as CQRSError,
)
from cqrs_fast.errors import (
    DeadlineExceededError as DeadlineExceededError,
)
from cqrs_fast.errors import (
    HandlerAlreadyRegisteredError as HandlerAlreadyRegisteredError,
)
from cqrs_fast.errors import (
    HandlerNotFoundError as HandlerNotFoundError,
)
from cqrs_fast.errors import (
    IdempotencyConflictError as IdempotencyConflictError,
)
from cqrs_fast.errors import (
    IdempotencyInProgressError as IdempotencyInProgressError,
)
from cqrs_fast.errors import (
    MiddlewareOrderWarning as MiddlewareOrderWarning,
)
from cqrs_fast.errors import (
    OverloadedError as OverloadedError,
)
from cqrs_fast.errors import (
    PoolExhaustedError as PoolExhaustedError,
)
from cqrs_fast.errors import (
    RateLimitExceededError as RateLimitExceededError,
)
from cqrs_fast.errors import (
    RejectedError as RejectedError,
)
from cqrs_fast.errors import (
    ResultTypeError as ResultTypeError,
)
from cqrs_fast.errors import (
    ValidationError as ValidationError,
)
from cqrs_fast.messages import (
    Command as Command,
)
from cqrs_fast.messages import (
    Event as Event,
)
from cqrs_fast.messages import (
    Query as Query,
)
from cqrs_fast.messages import (
    Secret as Secret,
)
from cqrs_fast.messages import (
    message_name as message_name,
)
from cqrs_fast.pipeline.async_driver import reserve_frames as reserve_frames
from cqrs_fast.pipeline.gate import DrainReport as DrainReport
from cqrs_fast.pipeline.middleware import (
    Middleware as Middleware,
)
from cqrs_fast.pipeline.middleware import (
    middleware as middleware,
)
from cqrs_fast.policies.circuit_breaker import CircuitBreaker as CircuitBreaker
from cqrs_fast.policies.circuit_state import CircuitEvent as CircuitEvent
from cqrs_fast.policies.latency_histogram import LatencyHistogram as LatencyHistogram
from cqrs_fast.policies.lru_cache import LRUCache as LRUCache
from cqrs_fast.policies.retry_policy import RetryPolicy as RetryPolicy
from cqrs_fast.policies.token_bucket import TokenBucket as TokenBucket
from cqrs_fast.pools.pool import ObjectPool as ObjectPool
from cqrs_fast.pools.pooled_handler import PooledHandler as PooledHandler
from cqrs_fast.stages.audit import AuditMiddleware as AuditMiddleware
from cqrs_fast.stages.audit_event import AuditEvent as AuditEvent
from cqrs_fast.stages.authentication import (
    AuthenticationMiddleware as AuthenticationMiddleware,
)
from cqrs_fast.stages.bulkhead import BulkheadMiddleware as BulkheadMiddleware
from cqrs_fast.stages.caching.middleware import CachingMiddleware as CachingMiddleware
from cqrs_fast.stages.circuit_breaker import (
    CircuitBreakerMiddleware as CircuitBreakerMiddleware,
)
from cqrs_fast.stages.debug import DebugMiddleware as DebugMiddleware
from cqrs_fast.stages.fallback import FallbackMiddleware as FallbackMiddleware
from cqrs_fast.stages.idempotency.middleware import (
    IdempotencyMiddleware as IdempotencyMiddleware,
)
from cqrs_fast.stages.logging import LoggingMiddleware as LoggingMiddleware
from cqrs_fast.stages.rate_limiting.middleware import (
    RateLimitingMiddleware as RateLimitingMiddleware,
)
from cqrs_fast.stages.retry import RetryMiddleware as RetryMiddleware
from cqrs_fast.stages.slow_call import SlowCallMiddleware as SlowCallMiddleware
from cqrs_fast.stages.timeout import TimeoutMiddleware as TimeoutMiddleware
from cqrs_fast.stages.validation import ValidationMiddleware as ValidationMiddleware
from cqrs_fast.stats import (
    BulkheadStats as BulkheadStats,
)
from cqrs_fast.stats import (
    BusStats as BusStats,
)
from cqrs_fast.stats import (
    CacheStats as CacheStats,
)
from cqrs_fast.stats import (
    CircuitSnapshot as CircuitSnapshot,
)
from cqrs_fast.stats import (
    IdempotencyStats as IdempotencyStats,
)
from cqrs_fast.stats import (
    LRUCacheStats as LRUCacheStats,
)
from cqrs_fast.stats import (
    MessageStats as MessageStats,
)
from cqrs_fast.stats import (
    MiddlewareStats as MiddlewareStats,
)
from cqrs_fast.stats import (
    PoolStats as PoolStats,
)
from cqrs_fast.stats import (
    RateLimitStats as RateLimitStats,
)
from cqrs_fast.stats import (
    RetryStats as RetryStats,
)
from cqrs_fast.stats import (
    TimeoutStats as TimeoutStats,
)

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
