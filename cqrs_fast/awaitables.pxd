"""Whether something is to be awaited, at the cost of a few loads."""

from cpython.ref cimport PyObject


cdef extern from *:
    """
    static inline int cqrs_is_old_coroutine(PyObject *value) {
        if (!PyGen_CheckExact(value)) {
            return 0;
        }
    #if PY_VERSION_HEX >= 0x030c0000
        PyCodeObject *code = PyGen_GetCode((PyGenObject *)value);
    #else
        PyCodeObject *code = ((PyGenObject *)value)->gi_code;
        Py_INCREF(code);
    #endif
        int flags = code->co_flags;
        Py_DECREF(code);
        return flags & CO_ITERABLE_COROUTINE;
    }

    /* Whether `await value` would work; a few loads for a plain value. */
    static inline int cqrs_is_awaitable(PyObject *value) {
        PyAsyncMethods *slots = Py_TYPE(value)->tp_as_async;
        if (slots != NULL && slots->am_await != NULL) {
            return 1;
        }
        return cqrs_is_old_coroutine(value);
    }
    """
    bint is_awaitable "cqrs_is_awaitable"(PyObject *value) noexcept
