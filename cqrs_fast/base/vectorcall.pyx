"""Calls of classes without an argument tuple, which CPython 3.11 would make."""


cdef extern from *:
    """
    /* Since 3.12 every metaclass inherits this; before, only one written in C. It is
       correct for a metaclass without a __call__. */
    static void cqrs_inherit_vectorcall(PyTypeObject *metaclass) {
    #if PY_VERSION_HEX < 0x030c0000
        PyTypeObject *base = metaclass->tp_base;
        if (PyType_HasFeature(base, Py_TPFLAGS_HAVE_VECTORCALL)
                && metaclass->tp_call == base->tp_call
                && metaclass->tp_vectorcall_offset == base->tp_vectorcall_offset) {
            metaclass->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
            PyType_Modified(metaclass);
        }
    #else
        (void)metaclass;
    #endif
    }
    """
    void cqrs_inherit_vectorcall(type metaclass) noexcept


def inherit_vectorcall(metaclass):
    """Let the classes of `metaclass` be called as fast as those of its base class.

    Returns the metaclass: use it as a decorator, for metaclasses without a `__call__`.
    """
    if not isinstance(metaclass, type) or not issubclass(metaclass, type):
        raise TypeError(f"expected a metaclass, got {metaclass!r}")
    cqrs_inherit_vectorcall(metaclass)
    return metaclass
