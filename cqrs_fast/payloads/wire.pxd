"""Payloads in, results out: JSON and MessagePack with every limit checked first.

    name = JSON.type_name(payload, max_bytes)     # size, depth, "$type"
    message = decoders[name].decode(payload)      # made once by JSON.decoder(cls)
    answer = JSON.encode(result, name)

A payload that cannot be decoded raises a ValidationError with all its errors, which
quotes no part of the payload.
"""

cimport cython

from cqrs_fast.payloads.structure cimport Finding


@cython.final
cdef class Decoder:
    cdef readonly object cls       # the message class
    cdef Wire wire
    cdef object form               # see forms.py; None: msgspec decodes the class
    cdef object decode_payload     # payload -> message
    cdef object check              # the node of its form on the wire; None: not yet

    # The error to raise for an error of the decoder.
    cdef object error_of(self, object error, object payload)
    cdef list problems_of(self, object value)
    cdef tuple fallback(self, object error, object payload, object value, bint failed)


@cython.final
cdef class Wire:
    cdef readonly str format       # "JSON" or "MessagePack"
    cdef bint is_json
    cdef object new_decoder        # msgspec's class of decoders
    cdef object new_encoder
    cdef object encode_result
    cdef object decode_any         # without types
    cdef object decode_tag         # of {"$type": name}
    cdef object decode_first       # of [name, ...]: an array-like message

    cdef object checked(self, object payload, Py_ssize_t max_bytes)
    cdef bint check_structure(self, object payload) except -1    # True: an array
    cdef Finding scan(
        self, const unsigned char* data, Py_ssize_t size, bint* is_array
    ) noexcept
    cdef list tags_of(self, object payload, tuple tag_fields, object decode_tags)
    cdef object tagless(self, object payload)
    cdef tuple decode_untyped(self, object payload)
    cdef tuple read_untyped(self, object payload, object error)
    cdef bint has_repeated_keys(self, bytes data, object value) except -1
