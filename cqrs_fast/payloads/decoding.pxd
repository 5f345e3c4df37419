"""Decode the payloads of one format into one set of registered classes.

Most payloads are decoded in one pass, into the union of all classes that have their
names in the same field. Other payloads are decoded in two steps: the name, then the
class of that name.
"""

from cpython.ref cimport PyObject

cimport cython

from cqrs_fast.payloads.wire cimport Decoder, Wire


@cython.final
cdef class Payloads:
    cdef readonly Wire wire
    cdef dict classes             # registered name -> class, or None
    cdef Py_ssize_t max_bytes
    cdef object decode_object     # into the union of the classes that are objects …
    cdef object decode_array      # … or arrays on the wire; None: there is none
    cdef set united               # the names of their classes; None: not made yet
    cdef tuple tag_fields         # the fields that may have the name, "$type" first
    cdef object decode_tags
    cdef dict decoders            # name -> Decoder, made at first use

    # A new reference, or NULL: with the exception of the decoder, or without one if
    # the payload is not for one pass; then call `name_of` and `decode_as`.
    cdef PyObject* decode_at_once(self, object payload) noexcept
    # A contiguous buffer, for the two below; ValidationError for one that is too large.
    cdef object checked(self, object payload)
    # ValidationError without a name, HandlerNotFoundError for an unknown one.
    cdef str name_of(self, object payload)
    # `error` is from decode_at_once, or None. TypeError without a class, or for one
    # that cannot be decoded.
    cdef object decode_as(self, str name, object payload, object error)
    cdef object encode(self, object result, str name)

    cdef int unite(self) except -1
    cdef dict decodable(self, str field, bint array_like)
    cdef object union_decoder(self, dict members)
    cdef Decoder decoder_of(self, str name)


cdef Payloads payloads_of(bint is_json, dict classes, Py_ssize_t max_bytes)
