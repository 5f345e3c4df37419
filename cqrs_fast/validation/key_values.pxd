"""Hash and equality of plain values, by type and content."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t


cdef extern from "cqrs_fast/validation/key_values.h":
    ctypedef struct KeyState "cqrs_key_state":
        uint64_t hash
        uint64_t factor
        int64_t budget
        int by_identity

    int KEY_BUDGET "CQRS_KEY_BUDGET"
    int KEY_ITEM "CQRS_KEY_ITEM"
    int KEY_DEPTH "CQRS_KEY_DEPTH"
    uint64_t mix "cqrs_mix"(uint64_t hash, uint64_t value, uint64_t factor) noexcept
    bint int_of_64_bits "cqrs_key_int"(PyObject *value, int64_t *number) noexcept
    bint add_value "cqrs_key_add"(PyObject *value, KeyState *state, int depth) noexcept
    bint same_value "cqrs_key_same"(PyObject *one, PyObject *other) noexcept
    bint add_fields "cqrs_key_add_fields"(
        PyObject *message, const Py_ssize_t *offsets, int count, KeyState *state
    ) noexcept
    bint same_field_values "cqrs_key_same_fields"(
        PyObject *one, PyObject *other, const Py_ssize_t *offsets, int count
    ) noexcept
