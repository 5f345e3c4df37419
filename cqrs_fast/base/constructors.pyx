"""Let a class show the parameters of its constructor, and explain a wrong keyword.

A compiled class has no signature at run time. Cython writes that of `__init__` into its
docstring; here it becomes that of the class, for `inspect.signature` and `help`. The
error for an unknown keyword names neither the class nor what there is; it is replaced.
A call that succeeds pays for one more function. Methods take `**unknown` and hand it
to `reject_keywords`; their signatures do not show it.
"""

from cpython.ref cimport PyObject
from libc.stdint cimport uintptr_t

from cqrs_fast.base.naming import unknown_keyword


cdef extern from "Python.h":
    ctypedef int (*initproc)(PyObject *, PyObject *, PyObject *) except -1
    ctypedef struct PyTypeObject:
        const char *tp_doc
        initproc tp_init
        void *tp_vectorcall
        PyMethodDef *tp_methods

    ctypedef struct PyMethodDef:
        const char *ml_name
        const char *ml_doc

    ctypedef struct PyWrapperDescrObject:
        void *d_wrapped

    void PyType_Modified(type cls)


cdef dict plain = {}    # class: the address of its own constructor
cdef list kept = []     # texts that classes point to


cdef int signed(type cls, str not_given="None") except -1:
    cdef PyTypeObject *slots = <PyTypeObject *><PyObject *>cls
    cdef bytes text
    doc = cls.__doc__
    shown = cls.__init__.__text_signature__.replace("($self, ", "(", 1)
    shown = shown.replace("=NOT_GIVEN", f"={not_given}")
    text = f"{cls.__name__}{shown}\n--\n\n{doc}".encode()
    kept.append(text)
    slots.tp_doc = text
    plain[cls] = <uintptr_t><void *>slots.tp_init
    slots.tp_init = <initproc>explained_init
    slots.tp_vectorcall = NULL  # it would call the constructor past the slot
    own = vars(cls).get("__init__")
    if own is not None:
        # What subclasses inherit, and what they call by super().
        (<PyWrapperDescrObject *><PyObject *>own).d_wrapped = <void *>explained_init
    without_unknown(cls)
    PyType_Modified(cls)
    return 0


cdef int without_unknown(type cls) except -1:
    cdef PyMethodDef *method = (<PyTypeObject *><PyObject *>cls).tp_methods
    cdef bytes text
    while method != NULL and method.ml_name != NULL:
        if method.ml_doc != NULL and b", **unknown)" in <bytes>method.ml_doc:
            text = (<bytes>method.ml_doc).replace(b", **unknown)", b")", 1)
            kept.append(text)
            method.ml_doc = text
        method += 1
    return 0


cdef int explained_init(PyObject *self, PyObject *args, PyObject *kwargs) except -1:
    cdef type cls = type(<object>self)
    while cls not in plain:
        cls = cls.__base__
    try:
        return (<initproc><void *><uintptr_t>plain[cls])(self, args, kwargs)
    except TypeError as error:
        text = better_text(cls, {} if kwargs == NULL else <object>kwargs, str(error))
        if text is None:
            raise
        raise TypeError(text) from None


cdef object better_text(type cls, object given, str text):
    """What to tell instead of a text that does not name the class, or None."""
    from inspect import signature

    known = signature(cls).parameters
    better = unknown_keyword(cls.__name__, given, known)
    if better is None and text.startswith("__init__() "):
        better = f"{cls.__name__}{text[8:]}; its parameters are {', '.join(known)}"
    return better
