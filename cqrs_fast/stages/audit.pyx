"""Audit: report every dispatch to a sink once it has ended."""

cimport cython
from cpython.ref cimport PyObject
from cpython.time cimport time
from libc.stdint cimport int64_t

from cqrs_fast.base.calling cimport is_awaitable
from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.pipeline.frame cimport PROCEED, Frame
from cqrs_fast.pipeline.frame_ops cimport frame_context, seen_context
from cqrs_fast.pipeline.route cimport Route, frame_name
from cqrs_fast.pipeline.stage cimport Stage

from cqrs_fast.base.callables import plain_callable
from cqrs_fast.base.callbacks import report_callback_error
from cqrs_fast.base.naming import label_of
from cqrs_fast.base.promises import promise_error
from cqrs_fast.stats import AuditEvent

cdef str INSTEAD = "put the event into a queue that an async task empties"


@cython.final
cdef class AuditMiddleware(Stage):
    """Report each dispatch to a sink once it has ended, with a result or an error.

    Outermost it sees every dispatch of a message that has a handler: also those that a
    middleware inside rejected, those that were cancelled, and those rejected because
    the bus is closed or the context done. The event has the principal that an
    AuthenticationMiddleware inside found.

    Parameters:
        sink: `sink(event)` is called with an AuditEvent.

    Raises TypeError unless `sink` is a callable that is not async. An Exception that
    the sink raises is reported and changes nothing for the caller. The sink is called
    in the dispatching thread, on the event loop under `execute_async`, and by many at
    once where they share this object.
    """

    cdef object sink

    def __cinit__(self):
        self.reads_clock = self.reads_end = self.has_slot = self.observes = True

    def __init__(self, sink):
        """Check and keep the parameters: the class describes them."""
        self.sink = plain_callable("sink", sink, INSTEAD)

    def settings(self):
        """Return where the sink is defined."""
        return {"sink": label_of(self.sink)}

    cdef int enter(self, Frame *f) except -1:
        f.slot.a = f.now_ns
        f.slot.b = <int64_t>(time() * 1e9)
        return PROCEED

    cdef int leave(self, Frame *f) except -1:
        error = None if f.error == NULL else <object>f.error
        try:
            event = AuditEvent(
                frame_name(f),
                seen_context(f).state.principal,
                f.slot.b / 1e9,
                (f.now_ns - f.slot.a) / 1e9,
                f.error == NULL,
                error,
                frame_context(f).known_id(),
            )
            answer = self.sink(event)
            if is_awaitable(<PyObject *>answer):
                raise promise_error("sink", answer, INSTEAD)
        except Exception as failure:
            report_callback_error("audit sink", (<Route>f.route).name, failure)
        return PROCEED


signed(AuditMiddleware)
constructed(AuditMiddleware)
