"""Dispatch commands and queries through a compiled, protected pipeline.

Every public name is in the table below, under the module that defines it; those of the
middleware are in the catalog.
"""

from importlib import import_module as _import_module

from cqrs_fast.stages.catalog import exports as _exports

_NAMES = {
    **_exports(),
    "assembly.composite": "handles",
    "assembly.description": "RouteInfo StageInfo",
    "assembly.forms": "AnyMiddleware Handler Next",
    "base.build": "build_info",
    "buses.bus": "CommandBus QueryBus",
    "buses.typed": "execute_typed execute_typed_async",
    "config.loading": (
        "load_config load_config_from_env load_environment_config merge_configs"
    ),
    "config.manager": "ConfigManager",
    "config.model": (
        "BulkheadConfig BusConfig CachingConfig CircuitBreakerConfig Config "
        "LoggingConfig MiddlewareConfig MonitoringConfig PerformanceConfig "
        "RateLimitingConfig RetryConfig TimeoutConfig TracingConfig "
        "ValidationConfig"
    ),
    "config.presets": "default_config high_throughput_config low_latency_config",
    "config.tuning": "performance_tuning",
    "context": "Context",
    "domain_errors": "DETERMINISTIC DomainError",
    "errors": (
        "AsyncHandlerError BulkheadFullError BusClosedError CQRSError "
        "CircuitOpenError ConfigError ContextCancelledError "
        "DeadlineExceededError HandlerAlreadyRegisteredError "
        "HandlerNotFoundError IdempotencyConflictError "
        "IdempotencyInProgressError MiddlewareOrderWarning OverloadedError "
        "PoolExhaustedError RateLimitExceededError RejectedError ResultTypeError "
        "ValidationError"
    ),
    "messages": "Command Event Query Secret message_name",
    "pipeline.frame_pool": "reserve_frames",
    "pipeline.gate": "DrainReport",
    "pipeline.hooks": "Call",
    "pipeline.middleware": "Middleware Stop middleware",
    "policies.circuit_breaker": "CircuitBreaker",
    "policies.circuit_state": "CircuitEvent",
    "policies.latency_histogram": "LatencyHistogram",
    "policies.lru_cache": "LRUCache",
    "policies.retry_policy": "RetryPolicy",
    "policies.token_bucket": "TokenBucket",
    "pools.pool": "ObjectPool",
    "pools.pooled_handler": "PooledHandler",
    "stages.caching.invalidation": "Invalidation Tag",
    "stats": (
        "AuditEvent BulkheadStats BusStats CacheStats CircuitSnapshot "
        "IdempotencyStats LRUCacheStats LoadSheddingStats MessageStats "
        "MiddlewareStats PoolStats RateLimitStats RetryStats TimeoutStats"
    ),
    "validation.email": "Email",
}

# Needed by every program. The other modules are loaded at first use, because each
# compiled module takes a fraction of a millisecond.
_AT_ONCE = (
    "assembly.composite",
    "assembly.description",
    "base.build",
    "buses.bus",
    "context",
    "domain_errors",
    "errors",
    "messages",
    "pipeline.gate",
    "pipeline.middleware",
    "policies.latency_histogram",
    "stats",
)

_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name == "CoarseClock":
        return _plain_clock()
    if name not in _MODULES:
        raise AttributeError(f"module 'cqrs_fast' has no attribute {name!r}")
    module = _import_module(f"cqrs_fast.{_MODULES[name]}")
    value = globals()[name] = getattr(module, name)
    return value


def _plain_clock() -> object:
    """Return the replacement of `CoarseClock`, until the next release."""
    from warnings import warn

    text = "cqrs_fast.CoarseClock is the plain clock now: omit clock= instead"
    warn(text, DeprecationWarning, stacklevel=3)
    return _import_module("cqrs_fast.base.clock").Clock


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


for _name, _module in _MODULES.items():
    if _module in _AT_ONCE:
        __getattr__(_name)
