"""The public names, for type checkers; `__init__.py` loads them."""

import cqrs_fast.base.clock as _clock
from cqrs_fast.assembly.composite import handles
from cqrs_fast.assembly.description import RouteInfo, StageInfo
from cqrs_fast.assembly.forms import AnyMiddleware, Handler, Next
from cqrs_fast.base.build import build_info
from cqrs_fast.buses.bus import CommandBus, QueryBus
from cqrs_fast.buses.typed import execute_typed, execute_typed_async
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
from cqrs_fast.context import Context
from cqrs_fast.domain_errors import DETERMINISTIC, DomainError
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
from cqrs_fast.pipeline.frame_pool import reserve_frames
from cqrs_fast.pipeline.gate import DrainReport
from cqrs_fast.pipeline.hooks import Call
from cqrs_fast.pipeline.middleware import Middleware, Stop, middleware
from cqrs_fast.policies.circuit_breaker import CircuitBreaker
from cqrs_fast.policies.circuit_state import CircuitEvent
from cqrs_fast.policies.latency_histogram import LatencyHistogram
from cqrs_fast.policies.lru_cache import LRUCache
from cqrs_fast.policies.retry_policy import RetryPolicy
from cqrs_fast.policies.token_bucket import TokenBucket
from cqrs_fast.pools.pool import ObjectPool
from cqrs_fast.pools.pooled_handler import PooledHandler
from cqrs_fast.stages.audit import AuditMiddleware
from cqrs_fast.stages.authentication import AuthenticationMiddleware
from cqrs_fast.stages.bulkhead import BulkheadMiddleware
from cqrs_fast.stages.caching.invalidation import Invalidation, Tag
from cqrs_fast.stages.caching.middleware import CachingMiddleware
from cqrs_fast.stages.circuit_breaker import CircuitBreakerMiddleware
from cqrs_fast.stages.debug import DebugMiddleware
from cqrs_fast.stages.fallback import FallbackMiddleware
from cqrs_fast.stages.idempotency.middleware import IdempotencyMiddleware
from cqrs_fast.stages.load_shedding import LoadSheddingMiddleware
from cqrs_fast.stages.logging import LoggingMiddleware
from cqrs_fast.stages.rate_limiting.middleware import RateLimitingMiddleware
from cqrs_fast.stages.retry import RetryMiddleware
from cqrs_fast.stages.slow_call import SlowCallMiddleware
from cqrs_fast.stages.timeout import TimeoutMiddleware
from cqrs_fast.stages.validation import ValidationMiddleware
from cqrs_fast.stats import (
    AuditEvent,
    BulkheadStats,
    BusStats,
    CacheStats,
    CircuitSnapshot,
    IdempotencyStats,
    LoadSheddingStats,
    LRUCacheStats,
    MessageStats,
    MiddlewareStats,
    PoolStats,
    RateLimitStats,
    RetryStats,
    TimeoutStats,
)
from cqrs_fast.validation.email import Email

CoarseClock = _clock.Clock  # deprecated, and so not listed

__all__ = [
    "DETERMINISTIC",
    "AnyMiddleware",
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
    "Call",
    "CircuitBreaker",
    "CircuitBreakerConfig",
    "CircuitBreakerMiddleware",
    "CircuitEvent",
    "CircuitOpenError",
    "CircuitSnapshot",
    "Command",
    "CommandBus",
    "Config",
    "ConfigError",
    "ConfigManager",
    "Context",
    "ContextCancelledError",
    "DeadlineExceededError",
    "DebugMiddleware",
    "DomainError",
    "DrainReport",
    "Email",
    "Event",
    "FallbackMiddleware",
    "Handler",
    "HandlerAlreadyRegisteredError",
    "HandlerNotFoundError",
    "IdempotencyConflictError",
    "IdempotencyInProgressError",
    "IdempotencyMiddleware",
    "IdempotencyStats",
    "Invalidation",
    "LRUCache",
    "LRUCacheStats",
    "LatencyHistogram",
    "LoadSheddingMiddleware",
    "LoadSheddingStats",
    "LoggingConfig",
    "LoggingMiddleware",
    "MessageStats",
    "Middleware",
    "MiddlewareConfig",
    "MiddlewareOrderWarning",
    "MiddlewareStats",
    "MonitoringConfig",
    "Next",
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
    "Stop",
    "Tag",
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
