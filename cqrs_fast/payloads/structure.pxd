"""Check the structure of MessagePack before it is decoded."""


cdef enum Finding:
    SOUND
    TOO_DEEP
    TRUNCATED
    TRAILING
    BAD_OPCODE


# Walks the whole payload without recursion; sets `is_array` if it is an array.
cdef Finding scan_msgpack(
    const unsigned char* data, Py_ssize_t size, bint* is_array
) noexcept nogil
# The number of values in a sound payload, keys included; -1 if a string is not UTF-8.
cdef Py_ssize_t count_items(const unsigned char* data, Py_ssize_t size) except -2
