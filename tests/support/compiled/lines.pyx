"""Lines of tickets as the package uses them, each step a call from Python."""

from cqrs_fast.policies.core.bulkhead cimport (
    bulkhead_enter,
    bulkhead_init,
    bulkhead_leave,
    cqrs_bulkhead,
)
from cqrs_fast.waits.line cimport PermitLine, Ticket, new_permit_line, new_ticket


cdef class Hall:
    """So many permits, and those who wait for one."""

    cdef cqrs_bulkhead state
    cdef PermitLine line
    cdef object __weakref__

    def __cinit__(self, int limit):
        bulkhead_init(&self.state, limit)
        self.line = new_permit_line(&self.state)

    def enter(self):
        """Take a permit that is free."""
        assert bulkhead_enter(&self.state, 0) == 0

    def end(self):
        """Give a permit back."""
        if bulkhead_leave(&self.state):
            self.line.hand_over()

    def come(self):
        """Return the ticket of one more waiter."""
        cdef Ticket ticket = new_ticket()
        self.line.enter(ticket, self, 10**6)
        return ticket

    def leave(self, Ticket ticket not None):
        self.line.leave(ticket)

    def counts(self):
        """Return how many are inside, how many wait, and how long the line is."""
        return self.state.in_flight, self.state.waiting, self.line.length


def granted(Ticket ticket not None):
    return ticket.granted


def lose_loop(Ticket ticket not None, loop):
    """Let it wait on an event loop, such as a closed one."""
    ticket.waiter.loop = ticket.waiter.future = loop
