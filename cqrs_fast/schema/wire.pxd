"""Payloads in, results out: JSON and MessagePack with every limit checked first.

    name = JSON.type_name(payload, max_bytes)     # size, depth, "$type"
    message = decoders[name].decode(payload)      # made once by JSON.decoder(cls)
    answer = JSON.encode(result, name)

What cannot be decoded is a ValidationError that quotes nothing of the payload.
"""

cimport cython


@cython.final
cdef class Decoder:
    cdef readonly object cls       # the message class
    cdef Wire wire
    cdef object decode_payload     # msgspec's bound method for this class


@cython.final
cdef class Wire:
    cdef readonly str format       # "JSON" or "MessagePack"
    cdef bint is_json
    cdef object new_decoder        # msgspec's class of decoders
    cdef object encode_result
    cdef object decode_name        # of {"$type": name}
    cdef object decode_first       # of [name, ...]: an array-like message

    cdef object checked(self, object payload, Py_ssize_t max_bytes)
    cdef bint look_at(self, object payload) except -1    # True: an array
    cdef object our_error(self, object error, object payload, object cls)
    cdef str syntax_error(self, object payload, str text)
    cdef object decode_with(self, object decode, object payload, object cls)
