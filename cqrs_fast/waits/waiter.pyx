"""Waiter: what one dispatch waits on, in a thread or on an event loop."""

cimport cython

from cqrs_fast.base.sealing cimport constructed

from _thread import TIMEOUT_MAX, allocate_lock
from weakref import ref


@cython.final
cdef class Waiter:
    """Wait in a thread or in a task until any thread calls `wake`.

    A wake that comes before the wait ends it at once: none is lost.
    """

    def wake(self):
        """End the wait; return False if its event loop is closed. Thread-safe."""
        return self.notify()

    cdef bint notify(self) except -1:
        cdef bint was_woken = self.woken
        self.woken = True
        lock, self.lock = self.lock, None
        if lock is not None:
            lock.release()
        # Read together: the call below may let another thread begin the next wait.
        loop, future = self.loop, held(self.future)
        # No future: it was freed with its task, or its wait has just ended.
        alive = loop is None or future is not None or was_woken
        if loop is not None and future is not None:
            try:
                loop.call_soon_threadsafe(finish, future)
            except RuntimeError:
                alive = False
        return alive

    cdef int block(self, int64_t timeout_ns) except -1:
        lock = allocate_lock()
        lock.acquire()
        # Published before `woken` is read: a wake finds the lock or is seen here.
        self.lock = lock
        try:
            if self.woken:
                return 0
            if timeout_ns < 0:
                lock.acquire()
            else:
                lock.acquire(True, min(timeout_ns / 1e9, TIMEOUT_MAX))
        finally:
            self.lock = None
        return 0

    cdef object arm(self, int64_t timeout_ns):
        from asyncio import get_running_loop

        loop = get_running_loop()
        future = loop.create_future()
        # The loop's timer keeps the task alive. The owner of this waiter must not: the
        # task of a closed loop could never be collected.
        self.future = future if timeout_ns < 0 else weakly(future)
        self.loop = loop
        if self.woken:
            finish(future)
        elif timeout_ns >= 0:
            self.timer = weakly(loop.call_later(timeout_ns / 1e9, finish, future))
        return future

    cdef int rearm(self) except -1:
        timer, self.timer = held(self.timer), None
        self.loop = self.future = None
        self.woken = False
        if timer is not None:
            timer.cancel()
        return 0


def finish(future):
    """Resolve `future` unless it is done already."""
    if not future.done():
        future.set_result(None)


cdef object weakly(object target):
    """A weak reference, or the object itself if its class has none."""
    try:
        reference = ref(target)
    except TypeError:
        reference = target
    return reference


cdef object held(object reference):
    """The target of `weakly`, or None if it was freed."""
    return reference() if type(reference) is ref else reference


constructed(Waiter)
