"""What an awaitable does as a coroutine does: its face to Python, its errors."""

from cpython.ref cimport Py_INCREF, PyObject

from cqrs_fast.base.errstate cimport raise_again, steal
from cqrs_fast.base.sealing cimport internal


cdef class Coroutine:
    """What is to an event loop, a task or a debugger as a coroutine is."""

    cdef Sent resume(self, PyObject *sent, PyObject **out) noexcept:
        return FAILED

    cdef Sent raise_in(self, object error, PyObject **out) noexcept:
        return FAILED

    cdef int begin(self) except -1:
        raise NotImplementedError

    cdef int end(self) noexcept:
        return 0

    def send(self, value):
        """Step it, as coroutine.send does."""
        cdef PyObject *out = NULL
        cdef Sent sent = self.resume(<PyObject *>value, &out)
        return answer(sent, out)

    def throw(self, error, value=None, traceback=None):
        """Raise an exception where it is suspended, as coroutine.throw does."""
        cdef PyObject *out = NULL
        cdef Sent sent = self.raise_in(as_instance(error, value, traceback), &out)
        return answer(sent, out)

    def close(self):
        """End it where it is suspended, as coroutine.close does."""
        self.shut()

    cdef int shut(self) except -1:
        cdef PyObject *out = NULL
        cdef Sent sent
        if self.state == CREATED:
            self.end()
        if self.state == FINISHED:
            return 0
        sent = self.raise_in(exit_error(), &out)
        try:
            answer(sent, out)
        except (GeneratorExit, StopIteration):
            pass
        return 0

    @property
    def __name__(self):
        # No user code may run, or fail, where a task is shown.
        if self.route is not None:
            return f"execute_async({self.route.name})"
        if self.message is None:
            return "execute_async"
        return f"execute_async({type(self.message).__name__})"

    @property
    def __qualname__(self):
        return self.__name__

    @property
    def cr_await(self):
        """What it awaits while it is suspended, or None."""
        return self.inner

    @property
    def cr_origin(self):
        """Where it was made, (file, line, function) of each call, the nearest first.

        None unless sys.set_coroutine_origin_tracking_depth asked for it.
        """
        return self.origin

    @property
    def cr_running(self):
        """Whether it is being stepped right now."""
        return self.state == RUNNING

    def __getattr__(self, name):
        raise AttributeError(
            f"{self.__name__} has no attribute {name!r}: await it to get the result"
        )

    def __repr__(self):
        states = ("created", "running", "suspended", "finished")
        return f"<{self.__name__}, {states[<int>self.state]}>"


cdef PyObject *coroutine_error(str name, PyObject *error) noexcept:
    """Steal an error and return what a coroutine would raise (PEP 479)."""
    if not isinstance(<object>error, StopIteration):
        return error
    stopped = RuntimeError(f"the handler of {name} raised StopIteration")
    stopped.__cause__ = steal(error)
    Py_INCREF(stopped)
    return <PyObject *>stopped


# For a close without any memory: then many may be answered with the same one.
cdef object spare_exit = GeneratorExit()


cdef object exit_error():
    try:
        error = GeneratorExit()
    except MemoryError:
        error = spare_exit
    return error


cdef int raise_misuse(State state) noexcept:
    if state == RUNNING:
        error = ValueError("this dispatch is already executing")
    elif state == FINISHED:
        error = RuntimeError("cannot reuse an already awaited dispatch")
    else:
        error = TypeError("cannot send a value to a dispatch that was not started")
    Py_INCREF(error)
    raise_again(<PyObject *>error)
    return 0


cdef object answer(Sent sent, PyObject *out):
    """Turn the outcome of a step into what a coroutine's method does."""
    if sent == RETURNED:
        raise StopIteration(steal(out))
    return steal(out)


cdef object as_instance(object error, object value, object traceback):
    if isinstance(error, type):
        if not isinstance(value, error):
            value = error() if value is None else error(value)
        error = value
    if not isinstance(error, BaseException):
        raise TypeError(f"exceptions must derive from BaseException, got {error!r}")
    if traceback is not None:
        error.__traceback__ = traceback
    return error


cdef Sent throw_into(
    Frame *f, object inner, object error, PyObject **value
) noexcept:
    """Raise `error` in what it awaits, the way a coroutine delegates a throw."""
    cdef Sent sent = YIELDED
    try:
        if isinstance(error, GeneratorExit):
            # It is not suspended again: nothing begins in a closed dispatch.
            f.closing = True
            close = getattr(inner, "close", None)
            if close is not None:
                close()
            raise error
        throw = getattr(inner, "throw", None)
        if throw is None:
            raise error
        came = throw(error)
    except StopIteration as stop:
        came = stop.value
        sent = RETURNED
    except BaseException as failure:
        came = failure
        sent = FAILED
    Py_INCREF(came)
    if sent == FAILED:
        raise_again(<PyObject *>came)
    else:
        value[0] = <PyObject *>came
    return sent


internal(Coroutine)
