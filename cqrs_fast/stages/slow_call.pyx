"""Slow calls: one record for each dispatch that took its time."""

cimport cython
from libc.stdint cimport int64_t

from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.pipeline.frame cimport PROCEED, Frame
from cqrs_fast.pipeline.route cimport Route, frame_name
from cqrs_fast.pipeline.stage cimport Stage

from cqrs_fast.base.arguments import seconds_to_ns
from cqrs_fast.base.callables import log_level, logger_of
from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.base.naming import logged_name


@cython.final
cdef class SlowCallMiddleware(Stage):
    """Log one record for each dispatch that took at least `threshold` seconds.

    It contains the message's name and the duration in milliseconds, in its text and as
    `message_name` and `duration_ms`; a dispatch that fails counts as one that succeeds.

    Parameters:
        threshold: in seconds.
        logger: a logging.Logger or the name of one; "cqrs_fast" by default.
        level: of the record, a number of the logging module.

    Raises TypeError or ValueError for an argument that makes no sense. What a logging
    handler raises is reported and never reaches the caller. One object may serve many
    buses, threads and event loops at once.
    """

    cdef object threshold           # as given …
    cdef int64_t threshold_ns       # … and in nanoseconds
    cdef object logger, level

    def __cinit__(self):
        self.reads_clock = self.reads_end = self.has_slot = self.observes = True

    def __init__(self, threshold, *, logger=None, level=30):
        """Check and keep the parameters: the class describes them."""
        self.threshold_ns = seconds_to_ns("threshold", threshold)
        self.threshold = threshold
        self.logger = logger_of("logger", logger)
        self.level = log_level("level", level)

    def settings(self):
        """Return the effective settings, under the names of the parameters."""
        return {
            "threshold": self.threshold,
            "logger": self.logger.name,
            "level": self.level,
        }

    cdef int enter(self, Frame *f) except -1:
        # hot
        f.slot.a = f.now_ns
        return PROCEED

    cdef int leave(self, Frame *f) except -1:
        # hot: one comparison for what is fast enough
        cdef int64_t elapsed_ns = f.now_ns - f.slot.a
        if elapsed_ns < self.threshold_ns:
            return PROCEED
        try:
            if self.logger.isEnabledFor(self.level):
                self.log(f, elapsed_ns)
        except Exception as error:
            report_callback_error("logger", (<Route>f.route).name, error)
        return PROCEED

    cdef int log(self, Frame *f, int64_t elapsed_ns) except -1:
        name = logged_name(frame_name(f))
        duration_ms = elapsed_ns / 1e6
        self.logger.log(
            self.level,
            "slow %s: %s took %.3f ms",
            (<Route>f.route).kind,
            name,
            duration_ms,
            extra={"message_name": name, "duration_ms": duration_ms},
        )
        return 0


signed(SlowCallMiddleware)
constructed(SlowCallMiddleware)
