"""The structure of MessagePack: bytes in, a finding out, before anything is decoded."""


# What a look at the structure of a payload can find.
cdef enum Finding:
    SOUND
    TOO_DEEP
    TRUNCATED
    TRAILING
    BAD_OPCODE


# Walks the whole of it; sets `is_array` where it is an array, and only then.
cdef Finding scan_msgpack(
    const unsigned char* data, Py_ssize_t size, bint* is_array
) noexcept nogil
# How many values a sound payload has, keys too; -1 where a string is no UTF-8.
cdef Py_ssize_t count_items(const unsigned char* data, Py_ssize_t size) except -2
