"""Check the structure of MessagePack: no recursion, no declared length is trusted."""

from libc.stdint cimport uint64_t

from cqrs_fast.validation.checks cimport MAX_DEPTH


cdef Finding scan_msgpack(
    const unsigned char* data, Py_ssize_t size, bint* is_array
) noexcept nogil:
    cdef uint64_t left[MAX_DEPTH + 1]     # items still to come, at each depth
    cdef uint64_t items, skip
    cdef Py_ssize_t at = 0
    cdef int depth = 0
    cdef int width
    cdef unsigned char op
    left[0] = 1
    while True:
        while left[depth] == 0:
            if depth == 0:
                return SOUND if at == size else TRAILING
            depth -= 1
        left[depth] -= 1
        if at >= size:
            return TRUNCATED
        op = data[at]
        at += 1
        if op == 0xC1:
            return BAD_OPCODE
        width = length_width(op)
        if width > size - at:
            return TRUNCATED
        items = big_endian(data + at, width)
        at += width
        skip = 0
        if op >= 0xDC and op <= 0xDF or op >= 0x80 and op <= 0x9F:
            if op <= 0x9F:
                items = op & 0x0F
            if op <= 0x8F or op >= 0xDE:
                items *= 2                # a map: keys and values
            elif depth == 0:
                is_array[0] = True
            if depth == MAX_DEPTH:
                return TOO_DEEP
            depth += 1
            left[depth] = items
            if items > <uint64_t>(size - at):
                return TRUNCATED          # an item takes a byte at least
            continue
        skip = items + fixed_size(op)
        if skip > <uint64_t>(size - at):
            return TRUNCATED
        at += <Py_ssize_t>skip


cdef Py_ssize_t count_items(const unsigned char* data, Py_ssize_t size) except -2:
    """Walk the items in sequence: depth does not matter in a sound structure."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t items = 0
    cdef Py_ssize_t end
    cdef bint is_sound = True
    cdef int width
    cdef unsigned char op
    while at < size and is_sound:
        items += 1
        op = data[at]
        width = length_width(op)
        at += 1 + width
        if op >= 0xDC and op <= 0xDF or op >= 0x80 and op <= 0x9F:
            continue                      # a container: its items follow
        end = at + fixed_size(op) + <Py_ssize_t>big_endian(data + at - width, width)
        if op >= 0xA0 and op <= 0xBF or op >= 0xD9 and op <= 0xDB:
            try:
                data[at:end].decode("utf-8")
            except UnicodeDecodeError:
                is_sound = False
        at = end
    return items if is_sound else -1


cdef inline int length_width(unsigned char op) noexcept nogil:
    """Return the number of bytes after the opcode that hold a length."""
    if op == 0xC4 or op == 0xC7 or op == 0xD9:
        return 1
    if op == 0xC5 or op == 0xC8 or op == 0xDA or op == 0xDC or op == 0xDE:
        return 2
    if op == 0xC6 or op == 0xC9 or op == 0xDB or op == 0xDD or op == 0xDF:
        return 4
    return 0


cdef inline uint64_t big_endian(const unsigned char* data, int width) noexcept nogil:
    cdef uint64_t value = 0
    cdef int index
    for index in range(width):
        value = value << 8 | data[index]
    return value


cdef inline int fixed_size(unsigned char op) noexcept nogil:
    """Return the number of bytes after an opcode beyond its declared length."""
    if op >= 0xA0 and op <= 0xBF:         # fixstr
        return op & 0x1F
    if op >= 0xC7 and op <= 0xC9:         # ext: its type
        return 1
    if op == 0xCA or op == 0xCB:          # floats
        return 4 if op == 0xCA else 8
    if op >= 0xCC and op <= 0xD3:         # integers, unsigned then signed
        return 1 << (op - 0xCC) % 4
    if op >= 0xD4 and op <= 0xD8:         # fixext: its type and 1 to 16 bytes
        return 1 + (1 << (op - 0xD4))
    return 0
