"""Route: one handler with its stages as a flat program, immutable once built."""

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.ref cimport PyObject

from cqrs_fast.base.counter_clock cimport counter_is_steady
from cqrs_fast.base.sealing cimport internal
from cqrs_fast.pipeline.program cimport COUNTED, EXACT, OTHER, StageCall
from cqrs_fast.pipeline.stage cimport Stage

from cqrs_fast.base.message_names import message_name


cdef extern from *:
    """
    /* A stage's methods as plain functions, whose -1 is a value: the walk turns errors
       into outcomes, and a Cython call would jump to an error label instead. */
    #define cqrs_enter_of(stage) ((void *)(stage)->__pyx_vtab->enter)
    #define cqrs_leave_of(stage) ((void *)(stage)->__pyx_vtab->leave)
    #define cqrs_overrides_enter(stage, plain) \
        ((stage)->__pyx_vtab->enter != (plain)->__pyx_vtab->enter)
    #define cqrs_overrides_leave(stage, plain) \
        ((stage)->__pyx_vtab->leave != (plain)->__pyx_vtab->leave)
    """
    void *enter_of "cqrs_enter_of"(Stage stage) noexcept
    void *leave_of "cqrs_leave_of"(Stage stage) noexcept
    bint overrides_enter "cqrs_overrides_enter"(Stage stage, Stage plain) noexcept
    bint overrides_leave "cqrs_overrides_leave"(Stage stage, Stage plain) noexcept


@cython.final
cdef class Route:
    """One handler with its stages as a flat program, immutable once built."""

    def __dealloc__(self):
        PyMem_Free(self.program)

    cdef int lay_out(self) except -1:
        cdef Stage stage
        cdef Stage plain = Stage()
        cdef Step *step
        cdef int index
        self.depth = self.first_timed = self.first_measured = len(self.stages)
        self.program = <Step *>PyMem_Calloc(self.depth + 1, sizeof(Step))
        if self.program == NULL:
            raise MemoryError
        for index, stage in enumerate(self.stages):
            step = &self.program[index]
            step.stage = <PyObject *>stage
            step.slot = -1
            step.skips_results = stage.skips_results
            if overrides_enter(stage, plain):
                step.enter = <StageCall>enter_of(stage)
            # What it keeps in its slot is dropped when it is left.
            if stage.has_slot or overrides_leave(stage, plain):
                step.leave = <StageCall>leave_of(stage)
            if stage.has_slot:
                step.slot = self.slot_count
                self.slot_count += 1
            self.reads_clock |= stage.reads_clock or stage.reads_end
            self.may_wait |= stage.may_wait
            self.calls_user_code |= stage.calls_user_code
            if stage.observes and self.observers == index:
                self.observers += 1
            if stage.reads_end and self.first_timed == self.depth:
                self.first_timed = index
            if stage.reads_end and not stage.judges_end:
                self.first_measured = min(self.first_measured, index)
        self.link()
        self.reading = self.reading_of()
        cdef bint is_bare = self.depth == 0 and not self.is_async
        self.bypasses_driver = is_bare and self.form == MESSAGE
        self.context_only = is_bare and self.form != MESSAGE and self.clock is None
        return 0

    cdef int link(self) noexcept:
        """Let each step know the next one that has something to say, either way."""
        cdef Step *step
        cdef Step *outward = NULL
        cdef Step *inward = &self.program[self.depth]
        cdef int index
        for index in range(self.depth + 1):
            step = &self.program[index]
            step.outward = outward
            # What it keeps in its slot is dropped there, too.
            if step.leave != NULL and (step.slot >= 0 or not step.skips_results):
                outward = step
        for index in reversed(range(self.depth + 1)):
            step = &self.program[index]
            if step.enter != NULL:
                inward = step
            step.inward = inward
        return 0

    cdef Reading reading_of(self) noexcept:
        if self.clock is not None:
            return OTHER
        return COUNTED if counter_is_steady else EXACT


cdef class Router:
    """What finds the route of a message: a bus."""

    cdef Route route_for(self, object message):
        raise LookupError("this router has no routes")


cdef str frame_name(Frame *f):
    return own_name(<Route>f.route, <object>f.message)


cdef str own_name(Route route, object message):
    if route.name_is_fixed and type(message) is route.message_class:
        return route.name
    try:
        name = message_name(message)
    except Exception:
        # Users' code: what is being told must not be lost for its name.
        name = route.name
    return name


internal(Route)
