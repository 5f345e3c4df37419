"""Kinds of errors: what matches classes, also inside of exception groups."""

from cpython.ref cimport PyObject

import sys

from cqrs_fast.domain_errors import DETERMINISTIC

cdef object BUILTIN_GROUP = BaseExceptionGroup
cdef object MEMBERS = BaseExceptionGroup.exceptions.__get__
cdef tuple CERTAIN = DETERMINISTIC
# Answers of others that cannot be read: another attempt may bring a sound one.
cdef tuple BROKEN = (UnicodeError,)


cdef bint is_group(PyObject *error) noexcept:
    return matches(error, <PyObject *>BUILTIN_GROUP)


cdef list leaves_of(object error):
    cdef list found = []
    cdef list open = [error]
    while open:
        one = open.pop()
        if is_group(<PyObject *>one):
            open.extend(reversed(MEMBERS(one)))
        else:
            found.append(one)
    return found


cdef bint is_deterministic(object error) except -1:
    if not matches(<PyObject *>error, <PyObject *>CERTAIN):
        return False
    if isinstance(error, OSError):
        return isinstance(error, PermissionError)
    if isinstance(error, BROKEN):
        return False
    # Not imported for this: without the module no error is of its class.
    decoder = sys.modules.get("json.decoder")
    return decoder is None or not isinstance(error, decoder.JSONDecodeError)


cdef bint is_domain(PyObject *error, tuple classes) noexcept:
    if not is_group(error):
        return matches(error, <PyObject *>classes)
    cdef bint found = False
    try:
        found = all_match(leaves_of(<object>error), classes)
    except Exception:
        pass
    return found


cdef bint all_match(list errors, tuple classes) noexcept:
    for error in errors:
        if not matches(<PyObject *>error, <PyObject *>classes):
            return False
    return len(errors) > 0


cdef bint names_domain(tuple named, PyObject *error, tuple classes) noexcept:
    for cls in named:
        if matches(<PyObject *>cls, <PyObject *>classes):
            if matches(error, <PyObject *>cls):
                return True
    return False


cdef bint has_domain(PyObject *error, tuple classes) except -1:
    if not is_group(error):
        return matches(error, <PyObject *>classes)
    for member in leaves_of(<object>error):
        if matches(<PyObject *>member, <PyObject *>classes):
            return True
    return False
