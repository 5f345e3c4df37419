"""Config: every setting of a service's dispatch that is data, as frozen structs.

Each default stands beside its field, and so does what it means, which the JSON Schema
and the command line show. A duration is a number of the unit that its name ends with.
What is no data (types, callables, clocks) belongs to the constructors.
"""

from __future__ import annotations

from typing import Annotated, Literal
from warnings import warn

from msgspec import Meta

from cqrs_fast.config.sections import Section

# As long as any wait of the pipeline may be.
MOST_SEC = 1e9
MOST_MS = 1e12


class BusConfig(Section):
    """What a bus is made with."""

    initial_capacity: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="routes that the bus makes room for"),
    ] = 128
    enable_metrics: Annotated[
        bool, Meta(description="count and time every dispatch, for stats()")
    ] = False
    max_payload_bytes: Annotated[
        int,
        Meta(ge=1, le=2**40, description="the most that execute_json takes, in bytes"),
    ] = 16 * 1024 * 1024
    offload: Annotated[
        bool,
        Meta(description="run sync handlers in worker threads under execute_async"),
    ] = False


class LoggingConfig(Section):
    """The settings of LoggingMiddleware."""

    enabled: Annotated[bool, Meta(description="log one line for each dispatch")] = False
    prefix: Annotated[
        str, Meta(max_length=200, description="put before each line")
    ] = ""
    logger: Annotated[
        str, Meta(min_length=1, max_length=200, description="name of the logger")
    ] = "cqrs_fast"
    level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        Meta(description="of a success"),
    ] = "INFO"
    slow_threshold_ms: (
        Annotated[
            float,
            Meta(gt=0, le=MOST_MS, description="what is slower is a WARNING"),
        ]
        | None
    ) = None
    sample: Annotated[
        int, Meta(ge=1, le=10**9, description="of successes log every n-th only")
    ] = 1


class ValidationConfig(Section):
    """The settings of ValidationMiddleware."""

    enabled: Annotated[
        bool, Meta(description="hold messages to the rules of their class")
    ] = True
    max_errors: Annotated[
        int, Meta(ge=1, le=10**6, description="errors that are collected at most")
    ] = 32


class TimeoutConfig(Section):
    """TimeoutMiddleware, outside of every wait."""

    enabled: Annotated[bool, Meta(description="bound the time of a dispatch")] = True
    timeout_ms: Annotated[
        float,
        Meta(ge=0, le=MOST_MS, description="for all attempts and waits; 0 is no limit"),
    ] = 30_000
    on_late: Annotated[
        Literal["return", "raise"],
        Meta(description="what becomes of a result that comes too late"),
    ] = "return"


class RetryConfig(Section):
    """RetryMiddleware; for commands only those that say they are idempotent."""

    enabled: Annotated[bool, Meta(description="run again what failed")] = True
    max_attempts: Annotated[
        int, Meta(ge=1, le=10**9, description="with the first; 1 is no retry")
    ] = 3
    base_delay_ms: Annotated[
        float, Meta(ge=0, le=MOST_MS, description="before the second attempt")
    ] = 100
    max_delay_ms: Annotated[
        float, Meta(ge=0, le=MOST_MS, description="between two attempts at most")
    ] = 5_000
    multiplier: Annotated[
        float, Meta(ge=1, le=1000, description="by which the delay grows")
    ] = 2.0
    jitter: Annotated[
        Literal["full", "equal", "none"], Meta(description="how delays are spread")
    ] = "full"
    max_elapsed_ms: (
        Annotated[
            float, Meta(gt=0, le=MOST_MS, description="after which no other begins")
        ]
        | None
    ) = None
    attempt_timeout_ms: (
        Annotated[
            float,
            Meta(gt=0, le=MOST_MS, description="a TimeoutMiddleware for each attempt"),
        ]
        | None
    ) = None
    retry_commands: Annotated[
        bool, Meta(description="retry every command, idempotent or not")
    ] = False
    budget: (
        Annotated[
            int, Meta(ge=1, le=1000, description="retries in percent of first attempts")
        ]
        | None
    ) = None
    budget_min_per_sec: Annotated[
        int, Meta(ge=0, le=10**6, description="retries a second beside the budget")
    ] = 10
    budget_ttl_sec: Annotated[
        float, Meta(gt=0, le=MOST_SEC, description="that a budget looks back")
    ] = 10
    seed: (
        Annotated[int, Meta(ge=0, le=2**63 - 1, description="of what is random")]
        | None
    ) = None


class CachingConfig(Section):
    """CachingMiddleware, on query buses."""

    enabled: Annotated[bool, Meta(description="answer queries from a cache")] = True
    default_ttl_sec: Annotated[
        float,
        Meta(ge=0, le=MOST_SEC, description="that an answer is used; 0 stores none"),
    ] = 600
    max_size: Annotated[
        int, Meta(ge=1, le=2**30, description="answers that are kept at most")
    ] = 10_000
    scope: Annotated[
        Literal["principal", "shared"],
        Meta(description="whether each principal has answers of its own"),
    ] = "principal"
    ttl_jitter: Annotated[
        float, Meta(ge=0, le=1, description="part of the ttl that is cut at random")
    ] = 0.0
    negative_ttl_sec: Annotated[
        float, Meta(ge=0, le=MOST_SEC, description="that a stored error is used")
    ] = 0.0
    single_flight: Annotated[
        bool, Meta(description="compute an answer once for all who ask at a time")
    ] = True
    flight_wait_max_ms: Annotated[
        float, Meta(gt=0, le=MOST_MS, description="that they wait for it at most")
    ] = 30_000
    copy: Annotated[
        Literal["none", "shallow", "deep"],
        Meta(description="how what is stored and handed out is copied"),
    ] = "none"
    ttl_from: Annotated[
        Literal["store", "start"], Meta(description="when the ttl begins")
    ] = "store"
    seed: (
        Annotated[int, Meta(ge=0, le=2**63 - 1, description="of what is random")]
        | None
    ) = None


class CircuitBreakerConfig(Section):
    """The settings of CircuitBreakerMiddleware."""

    enabled: Annotated[
        bool, Meta(description="spare a handler that keeps failing")
    ] = True
    failure_threshold: Annotated[
        int, Meta(ge=1, le=10**9, description="failures in a row that open a circuit")
    ] = 5
    timeout_sec: Annotated[
        float, Meta(gt=0, le=MOST_SEC, description="that a circuit stays open")
    ] = 30
    half_open_max_calls: Annotated[
        int, Meta(ge=1, le=64, description="probes at a time")
    ] = 1
    success_threshold: Annotated[
        int, Meta(ge=1, le=10**9, description="probes that close a circuit")
    ] = 1
    probe_timeout_sec: (
        Annotated[
            float, Meta(gt=0, le=MOST_SEC, description="that a probe holds its place")
        ]
        | None
    ) = None
    timeout_multiplier: Annotated[
        float, Meta(ge=1, le=1000, description="by which each opening is longer")
    ] = 1.0
    max_timeout_sec: (
        Annotated[
            float, Meta(gt=0, le=MOST_SEC, description="that it is open at most")
        ]
        | None
    ) = None
    timeout_jitter: Annotated[
        float, Meta(ge=0, le=1, description="part of the time that is random")
    ] = 0.0
    per: Annotated[
        Literal["handler", "bus"], Meta(description="what has a circuit of its own")
    ] = "handler"
    seed: (
        Annotated[int, Meta(ge=0, le=2**63 - 1, description="of what is random")]
        | None
    ) = None


class RateLimitingConfig(Section):
    """The settings of RateLimitingMiddleware."""

    enabled: Annotated[bool, Meta(description="limit dispatches in time")] = False
    requests_per_window: Annotated[
        int, Meta(ge=1, le=10**12, description="that each window admits")
    ] = 1000
    window_sec: Annotated[
        float, Meta(gt=0, le=MOST_SEC, description="the length of a window")
    ] = 60
    burst: (
        Annotated[
            int,
            Meta(ge=1, le=10**12, description="at once; null: requests_per_window"),
        ]
        | None
    ) = None
    max_keys: Annotated[
        int, Meta(ge=1, le=10**7, description="keys with a limit of their own")
    ] = 10_000
    max_wait_ms: Annotated[
        float, Meta(ge=0, le=MOST_MS, description="in line; 0 refuses at once")
    ] = 0.0
    max_waiters: Annotated[
        int, Meta(ge=1, le=10**6, description="that may wait at a time")
    ] = 1000


class BulkheadConfig(Section):
    """The settings of BulkheadMiddleware."""

    enabled: Annotated[bool, Meta(description="limit dispatches at a time")] = False
    max_concurrent: Annotated[
        int, Meta(ge=1, le=10**9, description="dispatches at a time")
    ] = 100
    max_queue: Annotated[
        int, Meta(ge=0, le=10**6, description="that may wait; 0 refuses at once")
    ] = 0
    max_wait_ms: Annotated[
        float, Meta(ge=0, le=MOST_MS, description="in line; 0: the deadline, or 30 s")
    ] = 0.0


class TracingConfig(Section):
    """The settings of TracingMiddleware."""

    enabled: Annotated[bool, Meta(description="make a span for each dispatch")] = False
    sample_ratio: (
        Annotated[float, Meta(ge=0, le=1, description="part that is traced")] | None
    ) = None


class MiddlewareConfig(Section):
    """The middleware of both buses; each bus has objects of its own."""

    logging: LoggingConfig = LoggingConfig()
    validation: ValidationConfig = ValidationConfig()
    timeout: TimeoutConfig = TimeoutConfig()
    retry: RetryConfig = RetryConfig()
    caching: CachingConfig = CachingConfig()
    circuit_breaker: CircuitBreakerConfig = CircuitBreakerConfig()
    rate_limiting: RateLimitingConfig = RateLimitingConfig()
    bulkhead: BulkheadConfig = BulkheadConfig()
    tracing: TracingConfig = TracingConfig()


class PerformanceConfig(Section):
    """What the interpreter and the pools are told; nothing here changes a result."""

    enable_pooling: Annotated[
        bool, Meta(description="keep pool_size frames of async dispatches for reuse")
    ] = False
    pool_size: Annotated[
        int, Meta(ge=0, le=100_000, description="frames that are kept, process-wide")
    ] = 100
    enable_preallocation: Annotated[
        bool, Meta(description="make them when the bus is made, not when needed")
    ] = False
    gc_percent: Annotated[
        int,
        Meta(
            ge=-1,
            le=100_000,
            description="as GOGC: 100 is CPython's default, 50 collects twice as "
            "often, -1 never; only performance_tuning applies it",
        ),
    ] = 100
    gc_freeze: Annotated[
        bool,
        Meta(
            description="keep what exists after warm-up out of collections; only "
            "performance_tuning applies it"
        ),
    ] = False
    coarse_clock: Annotated[
        bool,
        Meta(description="does nothing any more, and goes with the next release"),
    ] = False
    latency_sample: Annotated[
        int, Meta(ge=1, le=10**6, description="time every n-th dispatch only")
    ] = 1

    def __post_init__(self) -> None:
        if self.coarse_clock:
            warn(
                "performance.coarse_clock does nothing any more: remove it",
                DeprecationWarning,
                stacklevel=2,
            )


class MonitoringConfig(Section):
    """Where the monitoring server listens."""

    enabled: Annotated[bool, Meta(description="start it with the service")] = False
    host: Annotated[
        str, Meta(min_length=1, max_length=253, description="address to bind")
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="to bind; 0 takes a free one")
    ] = 9090
    allow_remote: Annotated[
        bool, Meta(description="allow an address that is not the loopback")
    ] = False


class Config(Section):
    """Everything about the dispatch of a service that is data.

    Made by `load_config` and its like, by the presets, or in code:
    `Config(middleware=MiddlewareConfig(retry=RetryConfig(max_attempts=5)))`. Immutable
    and safe to share; `msgspec.structs.replace` makes a changed copy, which counts as
    given in code where it differs from the defaults. Raises ConfigError for a value of
    a wrong type or out of range.

    Parameters:
        command_bus, query_bus: what each kind of bus is made with.
        middleware: the built-in middleware of both.
        performance: pools, clocks and the garbage collector.
        monitoring: where the monitoring server listens.
    """

    command_bus: BusConfig = BusConfig()
    query_bus: BusConfig = BusConfig()
    middleware: MiddlewareConfig = MiddlewareConfig()
    performance: PerformanceConfig = PerformanceConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
