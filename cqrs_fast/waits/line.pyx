"""Line: those who wait for one thing, first come, first served.

A linked list, so that to leave from its middle costs no search, and that a line of any
length is freed without recursion. It borrows the tickets: each is owned by the one who
waits, who wakes by itself at its own bound and leaves, whatever ends the wait.
"""

cimport cython
from cpython.ref cimport PyObject

from cqrs_fast.base.forks cimport fork_count

from cqrs_fast.base.callbacks import report_callback_error


@cython.no_gc_clear
cdef class Ticket:
    """One who waits in a line."""

    def __dealloc__(self):
        # Whoever waited was freed without being stepped again.
        cdef Line line = self.line
        if line is not None:
            try:
                line.leave(self)
            except BaseException as error:
                report_callback_error("leaving a line", "a freed dispatch", error)


@cython.no_gc_clear
cdef class Line:
    """Those who wait for one thing, first come, first served."""

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


cdef Ticket new_ticket():
    cdef Ticket ticket = Ticket.__new__(Ticket)
    ticket.waiter = Waiter.__new__(Waiter)
    ticket.forks = fork_count
    return ticket


cdef bint wake(Ticket ticket) except -1:
    cdef Waiter waiter = ticket.waiter
    try:
        return waiter.notify()
    except BaseException:
        # A signal handler may raise into the loop's own code: nobody else will wake it.
        waiter.notify()
        raise
