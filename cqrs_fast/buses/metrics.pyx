"""Metrics: the outcomes and times of the dispatches of a message."""

cimport cython
from libc.stdlib cimport calloc, free

from cqrs_fast.base.clock cimport Clock
from cqrs_fast.base.forks cimport fork_count, on_fork
from cqrs_fast.base.reading cimport read_clock
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.context cimport NO_DEADLINE, Context
from cqrs_fast.pipeline.frame cimport CACHE_HIT, PROCEED, Frame
from cqrs_fast.pipeline.frame_ops cimport set_error
from cqrs_fast.pipeline.outcome cimport (
    ERROR, OK, OUTCOME_COUNT, OUTCOMES, REJECTED_OTHER, REJECTED_RATE, TIMEOUT, Outcome,
    outcome_of,
)
from cqrs_fast.policies.histogram cimport (
    histogram_free, histogram_merge, histogram_percentile, histogram_record,
)

from cqrs_fast.stats import BusStats, MessageStats


@cython.final
cdef class Metrics(Stage):
    """Count the dispatches of one registered name, and time one of every `sample`.

    With sampling, a timed dispatch reads the clock itself: the others read none unless
    another stage of their route needs it.
    """

    def __cinit__(self, int sample=1):
        self.observes = True
        self.reads_clock = self.reads_end = sample == 1
        self.sample = sample
        self.until_sampled = 1
        on_fork(self)

    def _after_fork(self):
        self.counters.in_flight = 0

    def __dealloc__(self):
        histogram_free(&self.counters.histogram)

    cdef int enter(self, Frame *f) except -1:
        # hot: must not allocate or look up a Python attribute
        if self.sample != 1:
            self.until_sampled -= 1
            if self.until_sampled == 0:
                self.until_sampled = self.sample
                # First: if a user's clock raises, nothing is counted.
                f.sampled_ns = exact_now(f)
        self.counters.in_flight += 1
        return PROCEED

    cdef int leave(self, Frame *f) except -1:
        # hot: must not allocate or look up a Python attribute
        cdef Counters *counters = &self.counters
        cdef int64_t duration_ns = f.now_ns - f.started_ns
        cdef bint timed = True
        if self.sample != 1:
            timed = f.sampled_ns != NO_DEADLINE
            if timed:
                duration_ns = sampled_for(f)
        if f.forks == fork_count:
            counters.in_flight -= 1
        counters.outcomes[<int>(OK if f.error == NULL else outcome_of(f))] += 1
        counters.retries += f.retries
        counters.cache_hits += f.notes & CACHE_HIT
        if f.context != NULL:
            self.count_inner(<Context>f.context)
        if timed and not histogram_record(&counters.histogram, duration_ns):
            raise MemoryError
        return PROCEED

    cdef int count_inner(self, Context context) noexcept:
        """Add the counts of the routes inside an around."""
        cdef Context own = context.own()
        self.counters.retries += own.retries
        self.counters.cache_hits += own.notes & CACHE_HIT
        return 0

    cdef int count(self, Outcome outcome) except -1:
        self.counters.outcomes[<int>outcome] += 1
        return 0


cdef int64_t exact_now(Frame *f) except? -1:
    return read_clock(None if f.bus_clock == NULL else <Clock>f.bus_clock)


cdef int64_t sampled_for(Frame *f) noexcept:
    """The duration; an error of a user's clock becomes the outcome."""
    try:
        return exact_now(f) - f.sampled_ns
    except BaseException as error:
        set_error(f, error)
    return 0


cdef struct Picture:
    Counters counters               # its histogram's buckets are borrowed
    int64_t percentiles[4]


cdef double[4] FRACTIONS
FRACTIONS[:] = [0.5, 0.9, 0.99, 0.999]


cdef object take_snapshot(dict metrics, list middleware):
    cdef list names = sorted(metrics)
    cdef list stages = list(map(metrics.get, names))
    cdef Py_ssize_t index, size = len(names)
    cdef Picture *pictures = <Picture *>calloc(size + 1, sizeof(Picture))
    if pictures == NULL:
        raise MemoryError
    try:
        take_pictures(stages, pictures)
        messages = {
            names[index]: message_stats(&pictures[index]) for index in range(size)
        }
        return BusStats(message_stats(&pictures[size]), messages, middleware)
    finally:
        histogram_free(&pictures[size].counters.histogram)
        free(pictures)


cdef int take_pictures(list stages, Picture *pictures) except -1:
    """Copy all counters, then their total; no Python code runs in between."""
    cdef Py_ssize_t index, size = len(stages)
    cdef Picture *total = &pictures[size]
    for index in range(size):
        pictures[index].counters = (<Metrics>stages[index]).counters
        summarize(&pictures[index])
        add(&total.counters, &pictures[index].counters)
        if not histogram_merge(
            &total.counters.histogram, &pictures[index].counters.histogram
        ):
            raise MemoryError
        pictures[index].counters.histogram.buckets = NULL
    summarize(total)
    return 0


cdef void summarize(Picture *picture) noexcept:
    cdef int index
    for index in range(4):
        picture.percentiles[index] = histogram_percentile(
            &picture.counters.histogram, FRACTIONS[index]
        )


cdef void add(Counters *total, const Counters *counters) noexcept:
    cdef int outcome
    for outcome in range(<int>OUTCOME_COUNT):
        total.outcomes[outcome] += counters.outcomes[outcome]
    total.cache_hits += counters.cache_hits
    total.retries += counters.retries
    total.in_flight += counters.in_flight


cdef object message_stats(Picture *picture):
    cdef Counters *counters = &picture.counters
    cdef int outcome
    outcomes = {
        OUTCOMES[outcome]: counters.outcomes[outcome]
        for outcome in range(<int>OUTCOME_COUNT)
    }
    rejected = 0
    for outcome in range(<int>REJECTED_RATE, <int>REJECTED_OTHER + 1):
        rejected += counters.outcomes[outcome]
    timed = counters.histogram.count
    return MessageStats(
        count=sum(outcomes.values()),
        outcomes=outcomes,
        errors=counters.outcomes[ERROR] + counters.outcomes[TIMEOUT],
        rejected=rejected,
        cache_hits=counters.cache_hits,
        retries=counters.retries,
        in_flight=counters.in_flight,
        timed=timed,
        mean=counters.histogram.sum_ns / 1e9 / timed if timed else 0.0,
        min=counters.histogram.min_ns / 1e9,
        max=counters.histogram.max_ns / 1e9,
        p50=picture.percentiles[0] / 1e9,
        p90=picture.percentiles[1] / 1e9,
        p99=picture.percentiles[2] / 1e9,
        p999=picture.percentiles[3] / 1e9,
    )


constructed(Metrics)
