"""Debugging: what goes in and what comes out, with secrets hidden."""

cimport cython
from libc.stdint cimport int64_t

from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.pipeline.frame cimport PROCEED, Frame
from cqrs_fast.pipeline.route cimport Route, frame_name
from cqrs_fast.pipeline.stage cimport Stage

from cqrs_fast.base.callables import log_level, logger_of
from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.base.naming import logged_name
from cqrs_fast.redaction import redact


@cython.final
cdef class DebugMiddleware(Stage):
    """Log each dispatch twice: its message on the way in, its result on the way out.

    This is the one middleware that logs what messages and results carry. Fields marked
    `Secret[...]` and those with a name such as `password` or `token` are masked, values
    are cut at 200 characters, control characters are escaped, and an object of an
    unknown class appears as its class. What is secret and not marked is logged: leave
    this out of production. Of an error only the class is logged.

    Parameters:
        logger: a logging.Logger or the name of one; "cqrs_fast" by default.
        level: of both records, a number of the logging module.

    Raises TypeError or ValueError for an argument that makes no sense. What a logging
    handler raises is reported and never reaches the caller. One object may serve many
    buses, threads and event loops at once.
    """

    cdef object logger, level

    def __cinit__(self):
        self.reads_clock = self.reads_end = self.has_slot = self.observes = True

    def __init__(self, logger=None, level=10):
        """Check and keep the parameters: the class describes them."""
        self.logger = logger_of("logger", logger)
        self.level = log_level("level", level)

    def settings(self):
        """Return the effective settings, under the names of the parameters."""
        return {"logger": self.logger.name, "level": self.level}

    cdef int enter(self, Frame *f) except -1:
        f.slot.a = f.now_ns
        try:
            if self.logger.isEnabledFor(self.level):
                self.log_message(f)
        except Exception as error:
            report_callback_error("logger", (<Route>f.route).name, error)
        return PROCEED

    cdef int leave(self, Frame *f) except -1:
        try:
            if self.logger.isEnabledFor(self.level):
                self.log_outcome(f, f.now_ns - f.slot.a)
        except Exception as error:
            report_callback_error("logger", (<Route>f.route).name, error)
        return PROCEED

    cdef int log_message(self, Frame *f) except -1:
        name = logged_name(frame_name(f))
        self.logger.log(
            self.level,
            "%s received %s",
            name,
            redact(<object>f.message),
            extra={"message_name": name},
        )
        return 0

    cdef int log_outcome(self, Frame *f, int64_t elapsed_ns) except -1:
        name = logged_name(frame_name(f))
        duration_ms = elapsed_ns / 1e6
        if f.error == NULL:
            verb, what = "returned", redact(<object>f.result)
        else:
            verb, what = "raised", type(<object>f.error).__name__
        self.logger.log(
            self.level,
            "%s %s %s after %.3f ms",
            name,
            verb,
            what,
            duration_ms,
            extra={"message_name": name, "duration_ms": duration_ms},
        )
        return 0


signed(DebugMiddleware)
constructed(DebugMiddleware)
