"""Line: tickets that wait for one thing, first come, first served.

A linked list: leaving from the middle needs no search, and a long line is freed without
recursion. It borrows the tickets: the waiting code owns each, wakes by itself at its
own time limit, and leaves however the wait ends.
"""

cimport cython
from cpython.ref cimport PyObject

from cqrs_fast.base.forks cimport fork_count
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.policies.core.bulkhead cimport (
    ADMITTED, QUEUED, bulkhead_enter, bulkhead_give_up, bulkhead_leave,
)

from cqrs_fast.base.callbacks import report_callback_error


@cython.no_gc_clear
cdef class Ticket:
    """One that waits in a line."""

    def __dealloc__(self):
        # Reached without `leave` if the waiting coroutine is freed before it resumes.
        cdef Line line = self.line
        if line is not None:
            try:
                line.leave(self)
            except BaseException as error:
                report_callback_error("leaving a line", "a freed dispatch", error)


@cython.no_gc_clear
cdef class Line:
    """Tickets that wait for one thing, first come, first served."""

    cdef int append(self, Ticket ticket) noexcept:
        ticket.line = self
        ticket.queued = True
        ticket.before = self.last
        ticket.behind = NULL
        if self.last == NULL:
            self.first = <PyObject *>ticket
        else:
            (<Ticket>self.last).behind = <PyObject *>ticket
        self.last = <PyObject *>ticket
        self.length += 1
        return 0

    cdef int remove(self, Ticket ticket) noexcept:
        if ticket.before == NULL:
            self.first = ticket.behind
        else:
            (<Ticket>ticket.before).behind = ticket.behind
        if ticket.behind == NULL:
            self.last = ticket.before
        else:
            (<Ticket>ticket.behind).before = ticket.before
        ticket.before = ticket.behind = NULL
        ticket.queued = False
        self.length -= 1
        return 0

    cdef int forget_all(self) noexcept:
        while self.first != NULL:
            self.remove(<Ticket>self.first)
        return 0

    cdef int leave(self, Ticket ticket) except -1:
        if ticket.queued:
            self.remove(ticket)
        return 0


@cython.final
@cython.no_gc_clear
cdef class PermitLine(Line):
    """Tickets that wait for a permit, which each holder hands over.

    A permit that is handed over is never free in between, so no newcomer overtakes. One
    granted to a blocked event loop stays there; the others leave at their own limits.
    """

    cdef int enter(self, Ticket ticket, object owner, int64_t most) noexcept:
        cdef int answer = bulkhead_enter(self.permits, most)
        if answer == <int>QUEUED:
            self.append(ticket)
        elif answer == <int>ADMITTED:
            ticket.granted = True
            ticket.line = self
        ticket.owner = owner
        return answer

    cdef int leave(self, Ticket ticket) except -1:
        if ticket.queued:
            self.remove(ticket)
            bulkhead_give_up(self.permits)
        elif ticket.granted:
            ticket.granted = False
            if ticket.forks == fork_count and bulkhead_leave(self.permits):
                self.hand_over()
        return 0

    cdef int hand_over(self) except -1:
        cdef Ticket first
        while True:
            first = <Ticket>self.first
            self.remove(first)
            first.granted = True
            # While it is woken it may leave and give the permit back itself.
            if wake(first) or not first.granted:
                return 0
            first.granted = False
            if not bulkhead_leave(self.permits):
                return 0


cdef Ticket new_ticket():
    cdef Ticket ticket = Ticket.__new__(Ticket)
    ticket.waiter = Waiter.__new__(Waiter)
    ticket.forks = fork_count
    return ticket


cdef PermitLine new_permit_line(cqrs_bulkhead *permits):
    cdef PermitLine line = PermitLine.__new__(PermitLine)
    line.permits = permits
    return line


cdef bint wake(Ticket ticket) except -1:
    try:
        return ticket.waiter.notify()
    except BaseException:
        # A signal handler may raise inside the loop's code: nothing else would wake it.
        ticket.waiter.notify()
        raise


constructed(PermitLine)
