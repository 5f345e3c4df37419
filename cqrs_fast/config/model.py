"""Config: every setting of a service's dispatch that is data, as frozen structs.

Each field has its default and its description, which the JSON Schema and the command
line show. A duration is a number of the unit that its name ends with. Types, callables
and clocks are no data: they belong to the constructors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from warnings import warn

from msgspec import Meta
from msgspec.structs import force_setattr

from cqrs_fast.config.given import Given
from cqrs_fast.config.problems import Problems
from cqrs_fast.config.sections import MESSAGES, Section

# As long as any wait of the pipeline may be.
MOST_SEC = 1e9
MOST_MS = 1e12


def says(description: str) -> Meta:
    """Return what describes a field."""
    return Meta(description=description)


def whole(least: int, most: int) -> Meta:
    """Return the range of a whole number."""
    return Meta(ge=least, le=most)


Count = Annotated[int, whole(1, 10**9)]
Millis = Annotated[float, Meta(ge=0, le=MOST_MS)]
SomeMillis = Annotated[float, Meta(gt=0, le=MOST_MS)]
Seconds = Annotated[float, Meta(ge=0, le=MOST_SEC)]
SomeSeconds = Annotated[float, Meta(gt=0, le=MOST_SEC)]
Share = Annotated[float, Meta(ge=0, le=1)]
Factor = Annotated[float, Meta(ge=1, le=1000)]
Seed = Annotated[int, whole(0, 2**63 - 1), says("of random numbers")] | None


class BusConfig(Section):
    """What a bus is made with."""

    initial_capacity: Annotated[
        int, whole(0, 1_000_000), says("routes that the bus has room for")
    ] = 128
    enable_metrics: Annotated[bool, says("count and time each dispatch")] = False
    max_payload_bytes: Annotated[
        int, whole(1, 2**40), says("the most bytes that execute_json takes")
    ] = 16 * 1024 * 1024
    offload: Annotated[
        bool,
        Meta(description="run sync handlers in worker threads under execute_async"),
    ] = False


class LoggingConfig(Section):
    """The settings of LoggingMiddleware."""

    enabled: Annotated[bool, says("log one line for each dispatch")] = False
    prefix: Annotated[str, Meta(max_length=200), says("put before each line")] = ""
    logger: Annotated[
        str, Meta(min_length=1, max_length=200), says("name of the logger")
    ] = "cqrs_fast"
    level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], says("of a success")
    ] = "INFO"
    slow_threshold_ms: (
        Annotated[SomeMillis, says("a slower dispatch is a WARNING")] | None
    ) = None
    sample: Annotated[Count, says("log only every n-th success")] = 1


class ValidationConfig(Section):
    """The settings of ValidationMiddleware."""

    enabled: Annotated[bool, says("check messages by the rules of their class")] = True
    max_errors: Annotated[int, whole(1, 10**6), says("the most errors collected")] = 32


class TimeoutConfig(Section):
    """TimeoutMiddleware, outside of every wait."""

    enabled: Annotated[bool, says("bound the time of a dispatch")] = True
    timeout_ms: Annotated[Millis, says("of all attempts; 0 is no limit")] = 30_000
    on_late: Annotated[
        Literal["return", "raise"], says("what happens to a result that is too late")
    ] = "return"


class RetryConfig(Section):
    """RetryMiddleware; it retries only the commands that are idempotent."""

    enabled: Annotated[bool, says("run again what failed")] = True
    max_attempts: Annotated[Count, says("including the first; 1 is no retry")] = 3
    base_delay_ms: Annotated[Millis, says("before the second attempt")] = 100
    max_delay_ms: Annotated[Millis, says("the longest between two attempts")] = 5_000
    multiplier: Annotated[Factor, says("by which the delay grows")] = 2.0
    jitter: Annotated[
        Literal["full", "equal", "none"], says("how delays are spread")
    ] = "full"
    max_elapsed_ms: (
        Annotated[SomeMillis, says("after which no attempt begins")] | None
    ) = None
    attempt_timeout_ms: (
        Annotated[SomeMillis, says("a TimeoutMiddleware for each attempt")] | None
    ) = None
    retry_commands: Annotated[bool, says("not only idempotent ones")] = False
    budget: (
        Annotated[int, whole(1, 1000), says("retries in percent of first attempts")]
        | None
    ) = None
    budget_min_per_sec: Annotated[
        int, whole(0, 10**6), says("retries a second beside the budget")
    ] = 10
    budget_ttl_sec: Annotated[SomeSeconds, says("the time that a budget covers")] = 10
    seed: Seed = None


class CachingConfig(Section):
    """CachingMiddleware, on query buses."""

    enabled: Annotated[bool, says("answer queries from a cache")] = False
    default_ttl_sec: Annotated[Seconds, says("of an answer; 0 stores none")] = 600
    max_size: Annotated[int, whole(1, 2**30), says("the most answers kept")] = 10_000
    scope: Annotated[
        Literal["principal", "shared"], says("whether each principal has own answers")
    ] = "principal"
    ttl_jitter: Annotated[Share, says("part of the ttl that is cut at random")] = 0.0
    negative_ttl_sec: Annotated[Seconds, says("of a stored error; 0 stores none")] = 0.0
    single_flight: Annotated[
        bool, says("compute an answer once for all concurrent callers")
    ] = True
    flight_wait_max_ms: Annotated[SomeMillis, says("the longest wait for it")] = 30_000
    copy: Annotated[
        Literal["none", "shallow", "deep"], says("how stored answers are copied")
    ] = "none"
    ttl_from: Annotated[Literal["store", "start"], says("when it begins")] = "store"
    seed: Seed = None


class CircuitBreakerConfig(Section):
    """The settings of CircuitBreakerMiddleware."""

    enabled: Annotated[bool, says("spare a handler that keeps failing")] = True
    failure_threshold: Annotated[
        Count, says("failures in a row that open a circuit")
    ] = 5
    timeout_sec: Annotated[SomeSeconds, says("how long a circuit stays open")] = 30
    half_open_max_calls: Annotated[int, whole(1, 64), says("probes at a time")] = 1
    success_threshold: Annotated[Count, says("probes that close a circuit")] = 1
    probe_timeout_sec: (
        Annotated[SomeSeconds, says("how long a probe keeps its slot")] | None
    ) = None
    timeout_multiplier: Annotated[Factor, says("by which each opening is longer")] = 1.0
    max_timeout_sec: Annotated[SomeSeconds, says("the longest opening")] | None = None
    timeout_jitter: Annotated[Share, says("part of the time that is random")] = 0.0
    per: Annotated[Literal["handler", "bus"], says("what has a circuit")] = "handler"
    seed: Seed = None


class RateLimitingConfig(Section):
    """The settings of RateLimitingMiddleware."""

    enabled: Annotated[bool, says("limit dispatches in time")] = False
    requests_per_window: Annotated[
        int, whole(1, 10**12), says("how many each window admits")
    ] = 1000
    window_sec: Annotated[SomeSeconds, says("the length of a window")] = 60
    burst: (
        Annotated[int, whole(1, 10**12), says("at once; null: requests_per_window")]
        | None
    ) = None
    scope: Annotated[
        Literal["bus", "principal"], says("whether each principal has own tokens")
    ] = "bus"
    max_keys: Annotated[int, whole(1, 10**7), says("keys with a limit each")] = 10_000
    max_wait_ms: Annotated[Millis, says("in line; 0 rejects at once")] = 0.0
    max_waiters: Annotated[int, whole(1, 10**6), says("that may wait at a time")] = 1000


class BulkheadConfig(Section):
    """The settings of BulkheadMiddleware."""

    enabled: Annotated[bool, says("limit concurrent dispatches")] = False
    max_concurrent: Annotated[Count, says("dispatches at a time")] = 100
    max_queue: Annotated[
        int, whole(0, 10**6), says("that may wait; 0 rejects at once")
    ] = 0
    max_wait_ms: Annotated[Millis, says("in line; 0: the deadline, or 30 s")] = 0.0


class TracingConfig(Section):
    """The settings of TracingMiddleware."""

    enabled: Annotated[bool, says("make a span for each dispatch")] = False
    sample_ratio: Annotated[Share, says("part that is traced")] | None = None


class MiddlewareConfig(Section):
    """The middleware of both buses; each bus has its own objects."""

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
    """Settings of the interpreter and the pools; none changes a result."""

    enable_pooling: Annotated[
        bool, says("keep pool_size frames of async dispatches for reuse")
    ] = False
    pool_size: Annotated[
        int, whole(0, 100_000), says("frames that the process keeps")
    ] = 100
    enable_preallocation: Annotated[bool, says("make them with the first bus")] = False
    gc_percent: Annotated[
        int,
        whole(-1, 100_000),
        says(
            "as GOGC: 100 is CPython's default, 50 collects twice as often, -1 never; "
            "only performance_tuning applies it"
        ),
    ] = 100
    gc_freeze: Annotated[
        bool,
        says(
            "exclude what exists after warm-up from collections; only "
            "performance_tuning applies it"
        ),
    ] = False
    coarse_clock: Annotated[
        bool, says("has no effect; the next release removes it")
    ] = False
    latency_sample: Annotated[
        int, whole(1, 10**6), says("time only every n-th dispatch")
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

    enabled: Annotated[bool, says("start it with the service")] = False
    host: Annotated[
        str, Meta(min_length=1, max_length=253), says("address to bind")
    ] = "127.0.0.1"
    port: Annotated[int, whole(0, 65535), says("to bind; 0 takes a free one")] = 9090
    allow_remote: Annotated[bool, says("allow other addresses than loopback")] = False


class Config(Section):
    """Everything about the dispatch of a service that is data.

    Made by `load_config` and its like, by the presets, or in code:
    `Config(middleware=MiddlewareConfig(retry=RetryConfig(max_attempts=5)))`. Immutable
    and safe to share. `msgspec.structs.replace` makes a changed copy, in which every
    value that differs from its default counts as given in code. Raises ConfigError for
    a value of a wrong type or out of range.

    Parameters:
        command_bus, query_bus: what each kind of bus is made with.
        middleware: the built-in middleware of both.
        messages: what single messages have instead, by name: a dict as in a file, such
            as `{"GetUser": {"caching": {"default_ttl_sec": 5}}}`. The values that it
            does not give are those of `middleware`. Each section that it names makes an
            object of its own for this message, so a limiter has a bucket of its own.
        performance: pools, clocks and the garbage collector.
        monitoring: where the monitoring server listens.
    """

    command_bus: BusConfig = BusConfig()
    query_bus: BusConfig = BusConfig()
    middleware: MiddlewareConfig = MiddlewareConfig()
    performance: PerformanceConfig = PerformanceConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
    messages: Annotated[
        dict[str, Any],
        Meta(
            description="what single messages have instead of `middleware`, by name",
            extra={"each": MiddlewareConfig},
            extra_json_schema={
                "additionalProperties": {"$ref": "#/$defs/MiddlewareConfig"}
            },
        ),
    ] = Given()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.messages, Given):
            problems = Problems()
            given = problems.messages(MiddlewareConfig, self.messages, MESSAGES)
            problems.raise_all()
            force_setattr(self, MESSAGES, given)
