"""What the package offers: every public name is there and says what it is for."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import cqrs_fast
from cqrs_fast.stages.catalog import middleware_rows

# What users import from `cqrs_fast`. A name is never dropped silently.
PUBLIC = [
    "DETERMINISTIC",
    "DomainError",
    "Invalidation",
    "Tag",
    "BulkheadFullError",
    "BulkheadMiddleware",
    "CircuitOpenError",
    "ConfigError",
    "ConfigManager",
    "IdempotencyConflictError",
    "IdempotencyInProgressError",
    "ObjectPool",
    "OverloadedError",
    "PoolExhaustedError",
    "PoolStats",
    "PooledHandler",
    "RateLimitExceededError",
    "RateLimitingMiddleware",
    "AnyMiddleware",
    "AsyncHandlerError",
    "AuditEvent",
    "AuditMiddleware",
    "AuthenticationMiddleware",
    "BusClosedError",
    "BusStats",
    "CQRSError",
    "CachingMiddleware",
    "Call",
    "CircuitBreaker",
    "CircuitBreakerMiddleware",
    "CircuitEvent",
    "CircuitSnapshot",
    "Command",
    "Config",
    "BulkheadConfig",
    "BusConfig",
    "CachingConfig",
    "CircuitBreakerConfig",
    "LoggingConfig",
    "MiddlewareConfig",
    "MonitoringConfig",
    "Next",
    "PerformanceConfig",
    "RateLimitingConfig",
    "RetryConfig",
    "TimeoutConfig",
    "TracingConfig",
    "ValidationConfig",
    "default_config",
    "high_throughput_config",
    "load_config",
    "load_config_from_env",
    "load_environment_config",
    "low_latency_config",
    "merge_configs",
    "performance_tuning",
    "reserve_frames",
    "CommandBus",
    "Context",
    "ContextCancelledError",
    "DeadlineExceededError",
    "Stop",
    "DebugMiddleware",
    "DrainReport",
    "Email",
    "Event",
    "FallbackMiddleware",
    "Handler",
    "HandlerAlreadyRegisteredError",
    "HandlerNotFoundError",
    "IdempotencyMiddleware",
    "LRUCache",
    "LRUCacheStats",
    "LatencyHistogram",
    "LoggingMiddleware",
    "MessageStats",
    "Middleware",
    "MiddlewareOrderWarning",
    "MiddlewareStats",
    "BulkheadStats",
    "CacheStats",
    "IdempotencyStats",
    "RateLimitStats",
    "TimeoutStats",
    "Query",
    "QueryBus",
    "RejectedError",
    "ResultTypeError",
    "RetryMiddleware",
    "RetryPolicy",
    "RetryStats",
    "RouteInfo",
    "Secret",
    "SlowCallMiddleware",
    "StageInfo",
    "TimeoutMiddleware",
    "TokenBucket",
    "ValidationError",
    "ValidationMiddleware",
    "build_info",
    "execute_typed",
    "execute_typed_async",
    "handles",
    "message_name",
    "middleware",
    "LoadSheddingStats",
]
# What the catalog adds is public; nothing of the list above may leave it.
PUBLIC += [row.name for row in middleware_rows() if row.name not in PUBLIC]

# What is public in a module of its own.
PUBLIC_IN_MODULES = [
    ("cqrs_fast.base.clock", "ManualClock"),
    ("cqrs_fast.pipeline.hooks", "Call"),
    ("cqrs_fast.pipeline.stage", "RouteSpec"),
    ("cqrs_fast.pipeline.stage", "Stage"),
    ("cqrs_fast.waits.waiter", "Waiter"),
]

PACKAGE = Path(cqrs_fast.__file__).parent
# What a class takes from elsewhere is documented there.
FOREIGN = re.compile(r"__\w+__|encode_\w+|decode_\w+")


def public_objects() -> list[tuple[str, Any]]:
    found = [(name, getattr(cqrs_fast, name, None)) for name in PUBLIC]
    for module, name in PUBLIC_IN_MODULES:
        imported = __import__(module, fromlist=[name])
        found.append((f"{module}.{name}", getattr(imported, name, None)))
    return found


def own_members(cls: type) -> list[tuple[str, Any]]:
    """Return the public methods and properties of a class and of its bases here."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.split(".")[0] == "cqrs_fast":
            found.update(vars(base))
    return [
        (name, member)
        for name, member in sorted(found.items())
        if not name.startswith("_")
        and not FOREIGN.fullmatch(name)
        and (
            callable(member)
            or isinstance(member, property | classmethod | staticmethod)
            # A plain attribute of a compiled class cannot have one of its own.
            or (inspect.isgetsetdescriptor(member) and member.__doc__)
        )
    ]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_there(name: str) -> None:
    assert hasattr(cqrs_fast, name)


def test_all_names_are_public() -> None:
    """`__all__` is what `PUBLIC` says, so that type checkers see the same names."""
    assert sorted(cqrs_fast.__all__) == sorted(PUBLIC)
    imported: dict[str, Any] = {}
    exec("from cqrs_fast import *", imported)
    assert set(imported) - {"__builtins__"} == set(PUBLIC)
    modules = {
        name
        for name in dir(cqrs_fast)
        if name.startswith("_") or isinstance(getattr(cqrs_fast, name), ModuleType)
    }
    assert set(dir(cqrs_fast)) - modules == set(PUBLIC)
    assert set(vars(cqrs_fast)) <= set(dir(cqrs_fast))


def test_every_name_that_a_module_lists_is_there() -> None:
    """Of the modules that users import from, and of the packages between them."""
    listed = 0
    for info in pkgutil.walk_packages([str(PACKAGE)], "cqrs_fast."):
        if not info.name.endswith("__main__"):
            module = importlib.import_module(info.name)
            for name in getattr(module, "__all__", ()):
                assert hasattr(module, name), f"{info.name}.{name}"
                listed += 1
    assert listed > 20


def test_names_that_are_loaded_late_are_listed_before() -> None:
    code = "import cqrs_fast; print(*vars(cqrs_fast)); print(*dir(cqrs_fast))"
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    loaded, listed = (set(line.split()) for line in output.splitlines())
    assert listed - loaded > {"ConfigManager", "RetryMiddleware"}
    assert set(PUBLIC) <= listed


def test_type_checkers_are_told_the_same_names_of_the_same_modules() -> None:
    stub = ast.parse(Path(cqrs_fast.__file__).with_suffix(".pyi").read_text())
    told = {
        name.name: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    modules = cqrs_fast._MODULES  # type: ignore[attr-defined]  # not for users
    assert told == {name: f"cqrs_fast.{module}" for name, module in modules.items()}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        cqrs_fast.Nothing  # noqa: B018 - looking it up is what must fail


@pytest.mark.parametrize(
    ("name", "item"), public_objects(), ids=[name for name, _ in public_objects()]
)
def test_public_name_and_its_methods_are_documented(name: str, item: Any) -> None:
    assert item is not None
    if name in ("AnyMiddleware", "Handler", "Next", "Secret"):
        return  # an alias cannot carry one of its own
    documented_or_fail(name, item)
    if isinstance(item, type):
        for member_name, member in own_members(item):
            documented_or_fail(f"{name}.{member_name}", member)


def documented_or_fail(name: str, item: Any) -> None:
    text = inspect.getdoc(item) or ""
    # A signature alone, as a compiled function begins with one, says nothing.
    assert re.search(r"[a-z]{2,} .*\.", text), f"{name} has no docstring"
    assert "__pyx" not in text, name


def test_typed_and_open_to_cimport() -> None:
    """What type checkers and foreign compiled stages need is installed."""
    assert (PACKAGE / "py.typed").exists()
    compiled = sorted(PACKAGE.rglob("*.so"))
    assert compiled
    for path in compiled:
        module = path.with_name(path.name.split(".")[0])
        assert module.with_suffix(".pyi").exists(), f"{module} has no stub"
    for name in ("base/clock", "context", "pipeline/__init__", "pipeline/stage"):
        assert (PACKAGE / f"{name}.pxd").exists()


def test_build_info_tells_the_build() -> None:
    info = cqrs_fast.build_info()
    assert set(info) == {"version", "mode", "flags", "compiler", "cython"}
    assert info["mode"] in ("release", "profile", "debug", "trace", "asan")
    assert info["cython"].startswith("3_3_")
