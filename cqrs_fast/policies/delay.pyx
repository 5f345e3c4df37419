"""Delays of a policy that is used alone: by its clock, in a thread or on a loop."""

cimport cython

from cqrs_fast.base.sealing cimport internal

from _thread import allocate_lock
from time import sleep


@cython.final
cdef class Alarm:
    """What a clock that is not real wakes, in a thread or on an event loop."""

    def wake(self):
        """End the delay; return False if its event loop is closed. Thread-safe."""
        cdef bint woken = True
        lock, self.lock = self.lock, None
        if lock is not None:
            lock.release()
        if self.loop is not None:
            try:
                self.loop.call_soon_threadsafe(finish, self.future)
            except RuntimeError:
                woken = False
        return woken


def finish(future):
    """Resolve `future` unless it is done already."""
    if not future.done():
        future.set_result(None)


cdef int block(Clock clock, int64_t delay_ns) except -1:
    cdef Alarm alarm
    if clock is None:
        sleep(delay_ns / 1e9)
        return 0
    alarm = Alarm.__new__(Alarm)
    lock = alarm.lock = allocate_lock()
    lock.acquire()
    try:
        if clock.waits_really(delay_ns, alarm):
            sleep(delay_ns / 1e9)
        else:
            lock.acquire()
    finally:
        clock.forget(alarm)
    return 0


async def suspend(Clock clock, int64_t delay_ns):
    """Let `delay_ns` pass by `clock`, where None is the system clock."""
    import asyncio

    cdef Alarm alarm = Alarm.__new__(Alarm)
    alarm.loop = asyncio.get_running_loop()
    alarm.future = alarm.loop.create_future()
    try:
        if clock is None or clock.waits_really(delay_ns, alarm):
            await asyncio.sleep(delay_ns / 1e9)
        else:
            await alarm.future
    finally:
        if clock is not None:
            clock.forget(alarm)


internal(Alarm)
