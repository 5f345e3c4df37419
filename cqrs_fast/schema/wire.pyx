"""Decode payloads and encode results; safe against whatever a payload contains."""

import re

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint64_t

from cqrs_fast.schema.checks cimport MAX_DEPTH
from cqrs_fast.sealing cimport constructed

import msgspec

from cqrs_fast.schema.decode_errors import as_declared, describe, malformed
from cqrs_fast.errors import ValidationError

DEFAULT_MAX_BYTES = 16 * 1024 * 1024

# msgspec names the part of a result that it cannot encode.
UNENCODABLE = re.compile(r"Encoding objects of type ([\w.]+) is unsupported")

# What a look at the structure of a payload can find.
cdef enum Finding:
    SOUND
    TOO_DEEP
    TRUNCATED
    TRAILING
    BAD_OPCODE

FINDINGS = {
    TOO_DEEP: f"expected at most {MAX_DEPTH} levels of nesting",
    TRUNCATED: "malformed MessagePack: the data is truncated",
    TRAILING: "malformed MessagePack: there is data after the end",
    BAD_OPCODE: "malformed MessagePack: invalid opcode",
}


NO_UTF8 = "expected text encoded as UTF-8"

# What decoders raise of a payload; anything else is user code's.
UNDECODABLE = (msgspec.MsgspecError, RecursionError, OverflowError, ValueError)


class _Named(msgspec.Struct):
    name: str = msgspec.field(name="$type")


class _FirstIsName(msgspec.Struct, array_like=True):
    name: str


@cython.final
cdef class Decoder:
    """Decodes payloads into one class; keep it as long as the class is registered."""

    def __init__(self, Wire wire not None, cls):
        self.wire = wire
        self.cls = cls
        try:
            self.decode_payload = wire.new_decoder(cls).decode
        except Exception as error:
            name = getattr(cls, "__qualname__", None) or repr(cls)
            raise TypeError(f"{wire.format} cannot be decoded into {name}") from error

    def decode(self, payload):
        """Return the message; size and depth are `type_name`'s to check."""
        require_payload(self.wire, payload)
        return self.wire.decode_with(self.decode_payload, payload, self.cls)


@cython.final
cdef class Wire:
    """One format; the module's two instances are JSON and MSGPACK."""

    def __init__(self, str format, module):
        self.format = format
        self.is_json = format == "JSON"
        self.new_decoder = module.Decoder
        self.encode_result = module.Encoder().encode
        self.decode_name = module.Decoder(_Named).decode
        self.decode_first = module.Decoder(_FirstIsName).decode

    def __repr__(self):
        return f"<wire format {self.format}>"

    def type_name(self, payload, Py_ssize_t max_bytes=DEFAULT_MAX_BYTES):
        """Check size and depth, then return the string under "$type"."""
        payload = self.checked(payload, max_bytes)
        is_array = self.look_at(payload)
        decode = self.decode_first if is_array else self.decode_name
        return self.decode_with(decode, payload, None).name

    def decoder(self, cls):
        """Return a Decoder into the class; TypeError where there cannot be one."""
        return Decoder(self, cls)

    def decode(self, payload, cls, Py_ssize_t max_bytes=DEFAULT_MAX_BYTES):
        """Check and decode one payload; to decode many, keep a `decoder`."""
        decoder = Decoder(self, cls)
        payload = self.checked(payload, max_bytes)
        self.look_at(payload)
        return decoder.decode(payload)

    def encode(self, result, name):
        """Encode what the handler of the message `name` returned."""
        detail = ""
        try:
            return self.encode_result(result)
        except (RecursionError, OverflowError, ValueError, AttributeError):
            pass
        except TypeError as error:
            found = UNENCODABLE.fullmatch(str(error))
            if found and found[1] != type(result).__name__:
                detail = f" (it contains {found[1]})"
        raise TypeError(
            f"the result of {name} is {type(result).__qualname__}{detail}, "
            f"which cannot be encoded as {self.format}"
        )

    cdef object checked(self, object payload, Py_ssize_t max_bytes):
        """Return the payload as a contiguous buffer of acceptable size."""
        cdef Py_ssize_t size
        require_payload(self, payload)
        if isinstance(payload, memoryview):
            size = payload.nbytes
            if not payload.c_contiguous and size <= max_bytes:
                payload = payload.tobytes()
        else:
            size = len(payload)
        if isinstance(payload, str) and size <= max_bytes:
            # a lone surrogate has no UTF-8; what stands for it is no JSON either
            payload = payload.encode("utf-8", "surrogatepass")
            size = len(payload)
        if size > max_bytes:
            raise invalid(
                "max_length", f"expected a payload of at most {max_bytes} bytes"
            )
        return payload

    cdef bint look_at(self, object payload) except -1:
        """Check the depth; tell whether the payload is an array."""
        cdef Py_buffer view
        cdef Finding finding
        cdef bint is_array = False
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        if self.is_json:
            finding = scan_json(<const unsigned char*>view.buf, view.len, &is_array)
        else:
            finding = scan_msgpack(<const unsigned char*>view.buf, view.len, &is_array)
        PyBuffer_Release(&view)
        if finding != SOUND:
            raise invalid("invalid", FINDINGS[finding])
        return is_array

    cdef object decode_with(self, object decode, object payload, cls):
        # Raised below, outside of any handler: msgspec's error quotes values, and as
        # the context of ours it would appear in every logged traceback.
        try:
            return decode(payload)
        except UNDECODABLE as error:
            ours = self.our_error(error, payload, cls)
        raise ours

    cdef object our_error(self, object error, object payload, object cls):
        """Return the ValidationError for what a decoder raised."""
        if isinstance(error, msgspec.ValidationError):
            return ValidationError([as_declared(describe(error), cls)])
        if isinstance(error, RecursionError):
            text = FINDINGS[TOO_DEEP]
        elif isinstance(error, (msgspec.DecodeError, UnicodeError)):
            text = self.syntax_error(payload, str(error))
        else:
            text = "expected numbers within the range of their types"
        return invalid("invalid", text)

    cdef str syntax_error(self, object payload, str text):
        """Say what is wrong with a payload that is no sound JSON or MessagePack.

        Which exception bad UTF-8 raises, and what it says, depends on msgspec's
        version, so the payload itself is asked.
        """
        if self.is_json:
            return malformed(text) if is_utf8(payload) else NO_UTF8
        try:
            self.look_at(payload)
            return NO_UTF8
        except ValidationError as error:
            found = error.errors[0][2]
        return found


cdef int require_payload(Wire wire, payload) except -1:
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return 0
    if wire.is_json and isinstance(payload, str):
        return 0
    expected = "bytes, bytearray, memoryview" + (" or str" if wire.is_json else "")
    raise TypeError(
        f"a {wire.format} payload is {expected}, not {type(payload).__qualname__}"
    )


cdef bint is_utf8(object payload) except -1:
    try:
        if isinstance(payload, str):
            payload.encode()
        else:
            bytes(payload).decode()
        return True
    except UnicodeError:
        pass
    return False


cdef object invalid(str code, str message):
    return ValidationError([("$", code, message)])


# ---- structure: bytes in, a finding out; no recursion and no Python object

cdef Finding scan_json(
    const unsigned char* text, Py_ssize_t size, bint* is_array
) noexcept nogil:
    """Measure the depth alone: what is no JSON is msgspec's to find."""
    cdef Py_ssize_t at = 0
    cdef int depth = 0
    cdef unsigned char char
    while at < size:
        char = text[at]
        at += 1
        if char == c'"':
            while at < size and text[at] != c'"':
                at += 2 if text[at] == c"\\" else 1
            at += 1
        elif char == c"[" or char == c"{":
            depth += 1
            if depth == 1 and char == c"[":
                is_array[0] = True
            if depth > MAX_DEPTH:
                return TOO_DEEP
        elif char == c"]" or char == c"}":
            depth -= 1
    return SOUND


cdef Finding scan_msgpack(
    const unsigned char* data, Py_ssize_t size, bint* is_array
) noexcept nogil:
    """Walk the whole structure, so that no declared length is believed."""
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


cdef inline int length_width(unsigned char op) noexcept nogil:
    """Return how many bytes after the opcode hold a length."""
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
    """Return the bytes that follow an opcode beyond its declared length."""
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


JSON = Wire("JSON", msgspec.json)
MSGPACK = Wire("MessagePack", msgspec.msgpack)


constructed(Decoder)
constructed(Wire)
