"""Logging: one record for each dispatch, without the content of the message."""

cimport cython
from libc.stdint cimport INT64_MAX, int64_t

from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.context cimport Context
from cqrs_fast.pipeline.frame cimport PROCEED, Frame
from cqrs_fast.pipeline.frame_ops cimport frame_context
from cqrs_fast.pipeline.outcome cimport DOMAIN, OUTCOMES, outcome_of
from cqrs_fast.pipeline.route cimport Route, frame_name
from cqrs_fast.pipeline.stage cimport RouteSpec, Stage

from cqrs_fast.base.arguments import seconds_to_ns, whole_number
from cqrs_fast.base.callables import log_level, logger_of
from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.base.naming import logged_name

cdef enum:
    # As in the logging module, which is imported only where a stage is made.
    INFO = 20
    WARNING = 30


@cython.final
cdef class LoggingMiddleware(Stage):
    """Log one record for each dispatch, on its way out.

    A record has the message's name, the outcome, the duration in milliseconds and the
    class of an error: never a field, a result or the text of an error. The record has
    them as `message_name`, `outcome`, `duration_ms` and `error_type` too, for logs with
    structure, and `correlation_id` and `principal` of the context. Outermost it sees
    every dispatch once, also one that is rejected because the bus is closed or the
    context done.

    Parameters:
        prefix: put before each record's text.
        logger: a logging.Logger or the name of one; "cqrs_fast" by default.
        level: of a success; a failure is logged at WARNING or higher, a domain error,
            which is an answer, at INFO.
        slow_threshold: what takes longer than this many seconds is logged at WARNING or
            higher, whatever `sample` says; None for no such limit.
        sample: of each message's successes only every n-th is logged; failures and slow
            ones always are.

    Raises TypeError or ValueError for an argument that makes no sense. What a logging
    handler raises is reported and never reaches the caller. One object may serve many
    buses, threads and event loops at once; the logger's handlers run in the dispatching
    thread, on the event loop under `execute_async`.
    """

    cdef str prefix                 # as given …
    cdef str lead                   # … and as it is written
    cdef object logger
    cdef object level               # of a success …
    cdef object alert_level         # … and of everything else
    cdef object slow_threshold      # as given …
    cdef int64_t slow_ns            # … and in nanoseconds
    cdef int64_t sample
    cdef int64_t passed_over        # successes since one was logged

    def __cinit__(self):
        self.reads_clock = self.reads_end = self.has_slot = self.observes = True

    def __init__(self, prefix="", *, logger=None, level=20, slow_threshold=None,
                 sample=1):
        """Check and keep the parameters: the class describes them."""
        if not isinstance(prefix, str):
            raise TypeError(f"prefix must be a string, got {prefix!r}")
        self.prefix = str(prefix)
        self.lead = f"{self.prefix.rstrip()} " if self.prefix else ""
        self.logger = logger_of("logger", logger)
        self.level = log_level("level", level)
        self.alert_level = max(self.level, WARNING)
        self.slow_threshold = slow_threshold
        self.slow_ns = INT64_MAX
        if slow_threshold is not None:
            self.slow_ns = seconds_to_ns("slow_threshold", slow_threshold)
        self.sample = whole_number("sample", sample, 1, 2**31 - 1)

    cdef Stage for_route(self, RouteSpec spec):
        # Counted for each route: two messages in turn would otherwise always meet the
        # same places in the count, and one of them never be logged.
        cdef LoggingMiddleware stage
        if self.sample == 1:
            return self
        stage = LoggingMiddleware.__new__(LoggingMiddleware)
        stage.prefix = self.prefix
        stage.lead = self.lead
        stage.logger = self.logger
        stage.level = self.level
        stage.alert_level = self.alert_level
        stage.slow_threshold = self.slow_threshold
        stage.slow_ns = self.slow_ns
        stage.sample = self.sample
        return stage

    def settings(self):
        """Return the effective settings, under the names of the parameters."""
        return {
            "prefix": self.prefix,
            "logger": self.logger.name,
            "level": self.level,
            "slow_threshold": self.slow_threshold,
            "sample": self.sample,
        }

    cdef int enter(self, Frame *f) except -1:
        # hot
        f.slot.a = f.now_ns
        return PROCEED

    cdef int leave(self, Frame *f) except -1:
        # hot: nothing is built before the logger has said that it takes the record
        cdef int64_t elapsed_ns = f.now_ns - f.slot.a
        cdef bint slow = elapsed_ns > self.slow_ns
        level = self.alert_level
        if f.error == NULL and not slow:
            if self.sample > 1:
                self.passed_over += 1
                if self.passed_over < self.sample:
                    return PROCEED
                self.passed_over = 0
            level = self.level
        try:
            if f.error != NULL and outcome_of(f) == DOMAIN and not slow:
                level = INFO
            if self.logger.isEnabledFor(level):
                self.log(f, level, elapsed_ns, slow)
        except Exception as error:
            report_callback_error("logger", (<Route>f.route).name, error)
        return PROCEED

    cdef int log(self, Frame *f, object level, int64_t elapsed_ns, bint slow) except -1:
        cdef Context context = frame_context(f)
        name = logged_name(frame_name(f))
        outcome = OUTCOMES[<int>outcome_of(f)]
        duration_ms = elapsed_ns / 1e6
        error_type = None if f.error == NULL else type(<object>f.error).__name__
        text = "%s%s %s in %.3f ms"
        args = [self.lead, name, outcome, duration_ms]
        if slow:
            text += ", slow"
        if error_type is not None:
            text += ": %s"
            args.append(error_type)
        extra = {
            "message_name": name,
            "outcome": outcome,
            "duration_ms": duration_ms,
            "error_type": error_type,
            "correlation_id": context.known_id(),
            "principal": context.state.principal,
        }
        self.logger.log(level, text, *args, extra=extra)
        return 0


signed(LoggingMiddleware)
constructed(LoggingMiddleware)
