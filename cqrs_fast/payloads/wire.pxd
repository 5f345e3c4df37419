"""Payloads in, results out: JSON and MessagePack with every limit checked first.

    name = JSON.type_name(payload, max_bytes)     # size, depth, "$type"
    message = decoders[name].decode(payload)      # made once by JSON.decoder(cls)
    answer = JSON.encode(result, name)

What cannot be decoded is a ValidationError that quotes nothing of the payload, and that
tells all that is wrong with it.
"""

cimport cython

from cqrs_fast.payloads.structure cimport Finding


@cython.final
cdef class Decoder:
    cdef readonly object cls       # the message class
    cdef Wire wire
    cdef object form               # how it decodes itself; None: msgspec does it
    cdef object decode_payload     # payload -> message
    cdef object check              # the node of its form on the wire; None: not yet

    # The error to raise for what decoding into the class has raised.
    cdef object error_of(self, object error, object payload)
    cdef list problems_of(self, object value)
    cdef tuple last_guess(
        self, object error, object payload, object value, object failure
    )


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
    cdef bint look_at(self, object payload) except -1    # True: an array
    cdef Finding scan(
        self, const unsigned char* data, Py_ssize_t size, bint* is_array
    ) noexcept
    cdef list tags_of(self, object payload, tuple tag_fields, object decode_tags)
    cdef object tagless(self, object payload)
    cdef tuple read_again(self, object payload, object error)
    cdef bint has_repeated_keys(self, bytes data, object value) except -1
