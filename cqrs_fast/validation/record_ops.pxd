"""The first look at a record, compiled into who takes it. Open last."""

from cpython.object cimport PyObject

from cqrs_fast.validation.record_nodes cimport SLOT, Place
from cqrs_fast.validation.simple cimport keeps


# Whether every field of a record of the very class of these places surely is valid;
# False: check.
cdef inline bint is_simple(
    const Place* place, Py_ssize_t count, PyObject* record
) noexcept:
    # hot: a few comparisons for each field
    cdef const Place* end = place + count
    cdef PyObject* found
    while place != end:
        if place.access != SLOT:
            return False
        found = (<PyObject**>(<char*>record + place.offset))[0]
        if found == NULL or (place.node != NULL and not keeps(&place.rule, found)):
            return False
        place += 1
    return True
