"""The system's monotonic clock by the processor's counter, for what reads it most.

Linux tells by which counter its own clock goes. Only where that is the processor's
(`tsc`), which it then found to be steady and the same on all cores, is it used here,
and not where CQRS_FAST_CLOCK is `system` as this is imported.
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
    """Tell whether the system's clock goes by the processor's counter."""
    cdef char[16] source
    cdef FILE *file
    cdef bint counts = False
    cdef const char *wanted = getenv(b"CQRS_FAST_CLOCK")
    if HAS_COUNTER and (wanted == NULL or strcmp(wanted, b"system") != 0):
        # Closed in a program that another thread starts meanwhile.
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
    """Return the reading that a dispatch would get. Only where it `is_steady`."""
    return counted_ns()
