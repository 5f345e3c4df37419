"""Monotonic time from the processor's counter, for hot paths.

Linux names the source of its clock. The counter is used only if that source is `tsc`:
then Linux has found it steady and the same on all cores. CQRS_FAST_CLOCK=system in the
environment at import disables the counter.
"""

from libc.stdio cimport FILE, fclose, fgets, fopen
from libc.stdlib cimport getenv
from libc.string cimport memset, strcmp

from cqrs_fast.base.counter_clock cimport CounterClock

cdef const char *CLOCK_SOURCE = (
    b"/sys/devices/system/clocksource/clocksource0/current_clocksource"
)
cdef CounterClock counter_clock
memset(&counter_clock, 0, sizeof(counter_clock))


cdef bint system_counts() noexcept:
    """Return whether the system clock uses the processor's counter."""
    cdef char[16] source
    cdef FILE *file
    cdef bint counts = False
    cdef const char *wanted = getenv(b"CQRS_FAST_CLOCK")
    if HAS_COUNTER and (wanted == NULL or strcmp(wanted, b"system") != 0):
        # "e": not inherited by a program that another thread starts now.
        file = fopen(CLOCK_SOURCE, b"re")
        if file != NULL:
            counts = (
                fgets(source, sizeof(source), file) != NULL
                and strcmp(source, b"tsc\n") == 0
            )
            fclose(file)
    return counts


cdef bint counter_is_steady = system_counts()


def is_steady():
    """Return whether dispatches are timed by the processor's counter."""
    return counter_is_steady


def read_ns():
    """Return the reading that a dispatch would get; call it only if `is_steady`."""
    return counted_ns()
