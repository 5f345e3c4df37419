"""Flights: one run for everybody who asks for the same thing meanwhile.

Under the GIL each of these steps is atomic: none calls Python code, allocates what the
garbage collector tracks or drops a last reference between looking and changing.
"""

import sys

cimport cython
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_INCREF, PyObject
from libc.stdint cimport int64_t

from cqrs_fast.clock cimport Clock
from cqrs_fast.pipeline.frame cimport Frame, delay_by


@cython.auto_pickle(False)
cdef class Seat:
    """One dispatch in a flight, kept in its slot."""

    cdef int identify(self, Frame *f) except -1:
        self.thread = PyThread_get_thread_ident()
        self.on_loop = f.on_loop
        asyncio = sys.modules.get("asyncio")
        # Missing while somebody imports it just now; then no loop runs here either.
        running = getattr(asyncio, "_get_running_loop", None)
        if running is not None and running() is not None:
            self.task = asyncio.current_task()
            self.over_loop = not f.on_loop
        return 0

    cdef Stand resume(self) noexcept:
        if self.stand == WAITING:
            self.flight.unlink(self)
            self.stand = ALONE
            self.flight = None
        return self.stand

    cdef int give_up(self) except -1:
        cdef Stand stand = self.resume()
        cdef Flight flight = self.flight
        if stand == LEADING:
            flight.pass_on()
        return 0


@cython.final
@cython.auto_pickle(False)
cdef class Flight:
    """What one leader does for itself and for those who wait."""

    cdef int lead(self, Seat seat) noexcept:
        seat.stand = LEADING
        seat.flight = self
        self.leader = seat
        return 0

    cdef bint admits(self, Seat seat) noexcept:
        cdef Seat leader = self.leader
        cdef Seat other
        if leader.thread == seat.thread:
            # A sync leader of this very thread waits for what is called here to return.
            if not leader.on_loop or (leader.task is seat.task):
                return False
        if not seat.over_loop:
            return True
        # It would block the loop that somebody in this flight needs to go on.
        if leader.on_loop and leader.thread == seat.thread:
            return False
        other = self.first
        while other is not None:
            if other.on_loop and other.thread == seat.thread:
                return False
            other = other.after
        return True

    cdef int wait(self, Seat seat, Frame *f, Clock clock, int64_t most_ns) except -1:
        seat.stand = WAITING
        seat.flight = self
        seat.before = self.last
        if self.last is None:
            self.first = seat
        else:
            self.last.after = seat
        self.last = seat
        Py_INCREF(seat.waiter)
        f.waiter = <PyObject *>seat.waiter
        return delay_by(f, clock, most_ns)

    cdef int unlink(self, Seat seat) noexcept:
        if seat.before is None:
            self.first = seat.after
        else:
            seat.before.after = seat.after
        if seat.after is None:
            self.last = seat.before
        else:
            seat.after.before = seat.before
        seat.before = seat.after = None
        return 0

    cdef int answer(self, object result) except -1:
        return self.close(ANSWERED, result)

    cdef int fail(self, object error) except -1:
        return self.close(FAILED, error)

    cdef int close(self, Stand stand, object outcome) except -1:
        cdef Seat seat = self.first
        cdef Seat after
        failure = None
        self.closed = True
        self.dismiss()
        # All of them first: from then on none takes itself out of the row.
        while seat is not None:
            seat.stand = stand
            seat.outcome = outcome
            seat = seat.after
        seat = self.first
        self.first = self.last = None
        while seat is not None:
            after = seat.after
            seat.before = seat.after = None
            seat.flight = None
            try:
                seat.waiter.notify()
            except BaseException as error:
                failure = error
            seat = after
        if failure is not None:
            raise failure
        return 0

    cdef int dismiss(self) noexcept:
        """Let the leader be nobody's leader any more."""
        if self.leader is not None:
            self.leader.stand = ALONE
            self.leader.flight = None
            self.leader = None
        return 0

    cdef bint pass_on(self) except -1:
        cdef Seat seat
        self.dismiss()
        while self.first is not None:
            seat = self.first
            self.unlink(seat)
            self.lead(seat)
            if seat.waiter.notify():
                return True
            # Its loop is closed: it never runs again, nor may it lead when collected.
            self.dismiss()
        self.closed = True
        return False

    cdef bint keep_only(self, unsigned long thread) except -1:
        cdef Seat seat = self.first
        cdef Seat after
        while seat is not None:
            after = seat.after
            if seat.thread != thread:
                self.unlink(seat)
                seat.stand = ALONE
                seat.flight = None
            seat = after
        if self.leader is not None and self.leader.thread == thread:
            return True
        return self.pass_on()


cdef object copied_error(object error):
    try:
        made = copied(error)
    except Exception:
        # Users' constructors and __reduce__: any way to fail means the same.
        return error
    return error if made is None else made


cdef object copied(object error):
    """Copy an exception as copy.copy does; None where something else would come out."""
    parts = error.__reduce_ex__(4)
    if type(parts) is not tuple or len(parts) > 3:
        return None
    made = parts[0](*parts[1])
    if type(made) is not type(error) or made is error:
        return None
    if len(parts) == 3 and parts[2] is not None:
        if hasattr(made, "__setstate__"):
            made.__setstate__(parts[2])
        else:
            vars(made).update(parts[2])
    notes = getattr(error, "__notes__", None)
    if notes is not None:
        made.__notes__ = list(notes)
    made.__cause__ = error.__cause__
    made.__suppress_context__ = error.__suppress_context__
    return made.with_traceback(None)
