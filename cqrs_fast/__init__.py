"""Dispatch commands and queries through a compiled, protected pipeline."""

from cqrs_fast.build import build_info
from cqrs_fast.bus import CommandBus, QueryBus
from cqrs_fast.context import Context
from cqrs_fast.errors import (
    AsyncHandlerError,
    BusClosedError,
    ContextCancelledError,
    CQRSError,
    DeadlineExceededError,
    HandlerAlreadyRegisteredError,
    HandlerNotFoundError,
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
from cqrs_fast.stages.stats import BusStats, MessageStats
