"""Validation: a message that was built in Python keeps its own rules.

The check of a class
    A route knows the class of its messages, and its stage holds that class's check.
    Other classes come through the route of a base class or of a name alone: their check
    is compiled when the first message is seen, and kept by the class itself. A check
    refers to its class, so a table of ours would keep classes alive that nobody needs.
"""

cimport cython
from cpython.ref cimport PyObject

from cqrs_fast.base.constructors cimport signed
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.pipeline.frame cimport PROCEED, Frame
from cqrs_fast.pipeline.stage cimport RouteSpec, Stage
from cqrs_fast.validation.constraints cimport MessageCheck
from cqrs_fast.validation.record_nodes cimport RecordNode, is_simple

from cqrs_fast.base.arguments import whole_number
from cqrs_fast.base.message_names import message_name
from cqrs_fast.errors import ValidationError
from cqrs_fast.validation.constraints import compile_check

cdef str ATTRIBUTE = "__cqrs_fast_check__"


cdef extern from *:
    """
    static inline PyObject *cqrs_lookup(PyObject *type, PyObject *name) {
        return _PyType_Lookup((PyTypeObject *)type, name);
    }
    """
    PyObject *type_of "(PyObject *)Py_TYPE"(PyObject *message) noexcept
    # What a class or a base of it has under a name, borrowed; NULL for nothing.
    PyObject *lookup "cqrs_lookup"(PyObject *type, PyObject *name) noexcept


@cython.final
cdef class ClassCheck:
    """What a class keeps: its check, and whose it is, as subclasses inherit it."""

    cdef PyObject *cls          # compared only, never followed
    cdef MessageCheck check     # None: nothing can be wrong

    def __reduce__(self):
        # A class may be pickled by value; its copy is another class.
        return ClassCheck, ()


@cython.final
cdef class ValidationMiddleware(Stage):
    """Reject a message whose fields break the rules of its class.

    Checks what msgspec would when it decodes: types, without any coercion, and the
    constraints of `Meta(...)`; then the message's own `validate()`, once every field is
    right. A length is checked before a pattern: put `max_length` beside each
    `Meta(pattern=...)`, for a regular expression may backtrack without bound in a long
    text. A message is held to the rules of its own class, also where the handler of a
    base class or of a name serves it. A class in which nothing can be wrong has no such
    stage in its route, unless it has subclasses when it is registered.

    Parameters:
        max_errors: how many errors are collected before the check stops.

    Raises TypeError or ValueError for a `max_errors` that makes no sense. A dispatch
    that is rejected raises ValidationError with all errors, none of them with a value;
    an exception of `validate()` that is no ValueError reaches the caller as it is.
    A class with an annotation that cannot be resolved or checked, such as
    `Callable[[int], str]` or a plain Protocol, is a TypeError at registration, or at
    the first dispatch where a base class or a name serves it; `Any` says that anything
    goes. One object may serve many buses, threads and event loops at once.
    """

    cdef int max_errors
    # Of a route whose class is known; the stage that was constructed has none.
    cdef object cls
    cdef MessageCheck check         # of `cls`; None: nothing can be wrong
    cdef PyObject *simple           # its record where that is all of it, else NULL

    def __init__(self, *, max_errors=32):
        """Check and keep the parameters: the class describes them."""
        self.max_errors = whole_number("max_errors", max_errors, 1, 2**31 - 1)

    cdef Stage for_route(self, RouteSpec spec):
        cdef ValidationMiddleware stage
        cls = spec.message_class
        if cls is None:
            return self
        check = compile_check(spec.message_type)
        # With subclasses it may be a base that handles them, and they have rules.
        if check is None and not type.__subclasses__(cls):
            return None
        stage = ValidationMiddleware.__new__(ValidationMiddleware)
        stage.max_errors = self.max_errors
        stage.cls = cls
        stage.check = check
        # A message's own `validate` may take its time.
        stage.calls_user_code = check is None or stage.check.validator is not None
        if not stage.calls_user_code:
            stage.simple = <PyObject *>stage.check.record
        return stage

    def settings(self):
        """Return the effective settings, under the names of the parameters."""
        return {"max_errors": self.max_errors}

    cdef int enter(self, Frame *f) except -1:
        # hot: no reference is taken for a message that keeps the simplest rules
        if (
            self.simple != NULL
            and type_of(f.message) == <PyObject *>self.cls
            and is_simple(
                (<RecordNode>self.simple).places,
                (<RecordNode>self.simple).count,
                f.message,
            )
        ):
            return PROCEED
        return self.look(f)

    cdef int look(self, Frame *f) except -1:
        # hot: a valid message costs no allocation and no Python call
        cdef MessageCheck check = self.check
        if type_of(f.message) != <PyObject *>self.cls:
            check = check_of(type_of(f.message))
        if check is None:
            return PROCEED
        errors = check.run(<object>f.message, self.max_errors)
        if errors is not None:
            raise ValidationError(errors, message_name(<object>f.message))
        return PROCEED


cdef MessageCheck check_of(PyObject *cls):
    # hot: one lookup, which CPython caches
    cdef PyObject *kept = lookup(cls, <PyObject *>ATTRIBUTE)
    if kept == NULL or type_of(kept) != <PyObject *>ClassCheck or (
        (<ClassCheck>kept).cls != cls
    ):
        return compiled_for(<object>cls)
    return (<ClassCheck>kept).check


cdef MessageCheck compiled_for(object cls):
    cdef ClassCheck kept = ClassCheck.__new__(ClassCheck)
    kept.check = compile_check(cls)
    kept.cls = <PyObject *>cls
    try:
        type.__setattr__(cls, ATTRIBUTE, kept)
    except TypeError:
        # A class of an extension module takes no attribute. It has no annotations
        # either, so that to compile it again is soon done.
        pass
    return kept.check


signed(ValidationMiddleware)
constructed(ClassCheck)
constructed(ValidationMiddleware)
