"""Decode payloads and encode results; safe against whatever a payload contains."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.payloads.structure cimport (
    BAD_OPCODE, SOUND, TOO_DEEP, TRAILING, TRUNCATED, Finding, count_items,
    scan_msgpack,
)
from cqrs_fast.validation.checks cimport MAX_DEPTH

import msgspec

from cqrs_fast.errors import ValidationError

cdef extern from "cqrs_fast/payloads/json_depth.h":
    bint json_is_deep "cqrs_json_is_deep"(
        const unsigned char* text, size_t size
    ) noexcept nogil
    bint json_is_array "cqrs_json_is_array"(
        const unsigned char* text, size_t size
    ) noexcept nogil

DEFAULT_MAX_BYTES = 16 * 1024 * 1024
TAG_FIELD = "$type"
MAX_ERRORS = 32

FINDINGS = {
    TOO_DEEP: f"expected at most {MAX_DEPTH} levels of nesting",
    TRUNCATED: "malformed MessagePack: the data is truncated",
    TRAILING: "malformed MessagePack: there is data after the end",
    BAD_OPCODE: "malformed MessagePack: invalid opcode",
}

MALFORMED = "malformed payload: the data is truncated or damaged"
UNHASHABLE = "expected keys that are no arrays or maps"
OUT_OF_RANGE = "expected a value within range"
NOT_VALID = "the value is not valid"
REPEATED = "expected each key of an object once"

# What decoders raise for a payload; user code raises anything else. A TypeError may be
# from both: msgspec 0.20 raises it for a key that cannot be hashed.
UNDECODABLE = msgspec.MsgspecError, RecursionError, OverflowError, ValueError, TypeError


class _FirstIsName(msgspec.Struct, array_like=True):
    name: object = msgspec.UNSET


@cython.final
cdef class Decoder:
    """Decode payloads into one class; keep it as long as the class is registered."""

    def __init__(self, Wire wire not None, cls, str name=None):
        from cqrs_fast.payloads.forms import form_of

        self.wire = wire
        self.cls = cls
        title = getattr(cls, "__qualname__", None) or repr(cls)
        try:
            self.form = form_of(cls, wire.is_json, name)
            if self.form is None:
                self.decode_payload = wire.new_decoder(cls).decode
            else:
                self.decode_payload = self.form.decode
        except MemoryError:
            raise
        except Exception as error:
            raise TypeError(
                f"{wire.format} cannot be decoded into {title}: {error}"
            ) from error

    def decode(self, payload):
        """Return the message; `type_name` has checked size and depth."""
        require_payload(self.wire, payload)
        # Raised below, outside of the handler: the error of msgspec quotes values, and
        # as the context of our error it would appear in every logged traceback.
        failure = message = None
        try:
            message = self.decode_payload(payload)
        except UNDECODABLE as error:
            failure = error
        if failure is not None:
            raise self.error_of(failure, payload)
        return message

    cdef object error_of(self, object error, object payload):
        """Return what to raise for an error of the decoder.

        The payload is decoded again without types, and all its errors are found there.
        The class is not called again, so no `__post_init__` runs.
        """
        value, failure = self.wire.decode_untyped(payload)
        text = problems = None
        if failure is not None:
            value, text = self.wire.read_untyped(payload, failure)
        if text is not None:
            return invalid("invalid", text)
        if isinstance(error, RecursionError):  # of user code: the payload is not deep
            return error
        if self.form is not None and self.form.finds_errors:
            problems = self.form.problems_of(error)
        else:
            problems = self.problems_of(value)
            if not problems and isinstance(error, TypeError):  # of user code
                return error
        if problems is None:
            return error
        if not problems:
            problems.append(self.fallback(error, payload, value, failure is not None))
        return ValidationError(problems)

    cdef list problems_of(self, object value):
        from cqrs_fast.payloads.forms import unnamed
        from cqrs_fast.payloads.nodes import errors_of
        from cqrs_fast.payloads.wire_check import wire_check

        if self.check is None:
            self.check = wire_check(self.cls, self.wire.is_json)
        if self.form is not None:
            value = unnamed(value)
        return errors_of(self.check, value, MAX_ERRORS)

    cdef tuple fallback(self, object error, object payload, object value, bint failed):
        """Return the error to report if the check finds none."""
        from cqrs_fast.payloads.untyped import place_of

        if error.__cause__ is not None:
            return place_of(error), "invalid", NOT_VALID
        if failed:
            return "$", "invalid", OUT_OF_RANGE
        if self.wire.has_repeated_keys(bytes_of(payload), value):
            return "$", "invalid", REPEATED
        return "$", "invalid", NOT_VALID


@cython.final
cdef class Wire:
    """One format; the module's two instances are JSON and MSGPACK."""

    def __init__(self, str format, module):
        self.format = format
        self.is_json = format == "JSON"
        self.new_decoder = module.Decoder
        self.new_encoder = module.Encoder
        self.encode_result = module.Encoder().encode
        self.decode_any = module.Decoder().decode
        self.decode_first = module.Decoder(_FirstIsName).decode
        self.decode_tag = self.tag_decoder((TAG_FIELD,))

    def __repr__(self):
        return f"<wire format {self.format}>"

    def tag_decoder(self, tag_fields):
        """Return a function that decodes the strings in some fields of an object."""
        fields = []
        for index, name in enumerate(tag_fields):
            field = msgspec.field(name=name, default=msgspec.UNSET)
            fields.append((f"tag{index}", object, field))
        return self.new_decoder(msgspec.defstruct("Tags", fields)).decode

    def type_name(self, payload, Py_ssize_t max_bytes=DEFAULT_MAX_BYTES):
        """Check size and depth, then return the string under "$type"."""
        payload = self.checked(payload, max_bytes)
        (_, name), = self.tags_of(payload, (TAG_FIELD,), self.decode_tag)
        return name

    cdef list tags_of(self, object payload, tuple tag_fields, object decode_tags):
        """Return the (field, name) pairs of a payload whose size is checked.

        The field is None for the first item of an array. Raises ValidationError if
        there is no name, or none that is a string.
        """
        cdef bint is_array = self.check_structure(payload)
        found = None
        try:
            found = (self.decode_first if is_array else decode_tags)(payload)
        except UNDECODABLE:
            pass
        if found is None:
            raise self.tagless(payload)
        if is_array:
            tag_fields = (None,)
        tags, others = [], []
        for field, tag in zip(tag_fields, msgspec.structs.astuple(found)):
            if isinstance(tag, str):
                tags.append((field, tag))
            elif tag is not msgspec.UNSET:
                others.append((field, type(tag).__name__))
        if tags:
            return tags
        if others:
            field, got = others[0]
            path = "$[0]" if is_array else f"$.{field}"
            raise ValidationError([(path, "type", f"expected str, got {got}")])
        if is_array:
            raise invalid("type", "expected array of length >= 1")
        path = f"$.{tag_fields[0]}"
        raise ValidationError([(path, "missing", "required, but not set")])

    cdef object tagless(self, object payload):
        """Return the error of a payload that is no valid object."""
        value, failure = self.decode_untyped(payload)
        if failure is not None:
            _, text = self.read_untyped(payload, failure)
            return invalid("invalid", text or OUT_OF_RANGE)
        if not isinstance(value, dict):
            return invalid("type", f"expected object, got {type(value).__name__}")
        for key in value:
            if not isinstance(key, str):
                text = f"expected str, got {type(key).__name__}"
                return ValidationError([("key in $", "type", text)])
        return invalid("invalid", NOT_VALID)

    def decoder(self, cls):
        """Return a Decoder into the class; TypeError if it cannot be decoded."""
        return Decoder(self, cls)

    def decode(self, payload, cls, Py_ssize_t max_bytes=DEFAULT_MAX_BYTES):
        """Check and decode one payload; to decode many, keep a `decoder`."""
        decoder = Decoder(self, cls)
        payload = self.checked(payload, max_bytes)
        self.check_structure(payload)
        return decoder.decode(payload)

    def encode(self, result, name):
        """Encode what the handler of the message `name` returned."""
        unknown = []

        def note(part):
            unknown.append(type(part))
            raise TypeError

        try:
            return self.new_encoder(enc_hook=note).encode(result)
        except (RecursionError, OverflowError, ValueError, AttributeError, TypeError):
            pass
        detail = ""
        if unknown and unknown[0] is not type(result):
            detail = f" (it contains {unknown[0].__qualname__})"
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
            # A lone surrogate has no UTF-8; its replacement is not valid JSON either.
            payload = payload.encode("utf-8", "surrogatepass")
            size = len(payload)
        if size > max_bytes:
            text = f"expected a payload of at most {max_bytes} bytes"
            raise invalid("max_length", text)
        return payload

    cdef bint check_structure(self, object payload) except -1:
        """Check the depth; return whether the payload is an array."""
        cdef Py_buffer view
        cdef Finding finding
        cdef bint is_array = False
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        finding = self.scan(<const unsigned char*>view.buf, view.len, &is_array)
        PyBuffer_Release(&view)
        if finding != SOUND:
            raise invalid("invalid", FINDINGS[finding])
        return is_array

    cdef Finding scan(
        self, const unsigned char* data, Py_ssize_t size, bint* is_array
    ) noexcept:
        if not self.is_json:
            return scan_msgpack(data, size, is_array)
        is_array[0] = json_is_array(data, size)
        # msgspec finds invalid JSON.
        return TOO_DEEP if json_is_deep(data, size) else SOUND

    cdef tuple decode_untyped(self, object payload):
        """Return (value, None), or (None, error)."""
        value = failure = None
        try:
            value = self.decode_any(payload)
        except UNDECODABLE as error:
            failure = error
        return value, failure

    cdef tuple read_untyped(self, object payload, object error):
        """Return (value, None), or (None, text) for a payload that is malformed.

        `error` is from msgspec. Its class and text depend on the version of msgspec, so
        the payload itself is read.
        """
        from cqrs_fast.payloads.untyped import NO_UTF8, Reading

        cdef bytes data = bytes_of(payload)
        finding = None
        try:
            self.check_structure(data)
        except ValidationError as found:
            finding = found.errors[0][2]
        if finding is not None:
            return None, finding
        if isinstance(error, RecursionError):  # of the caller: the data is not deep
            raise error
        if self.is_json:
            reading = Reading(data)
            if reading.problem is not None:
                return None, reading.problem
            if reading.has_huge_numbers:
                return reading.value, None
        elif count_items(data, len(data)) < 0:
            return None, NO_UTF8
        if isinstance(error, msgspec.ValidationError):
            return None, OUT_OF_RANGE
        return None, MALFORMED if self.is_json else UNHASHABLE

    cdef bint has_repeated_keys(self, bytes data, object value) except -1:
        """Return whether a short payload has a key twice in one object."""
        from cqrs_fast.payloads.untyped import MOST_BYTES, Reading, count_of

        if self.is_json:
            return Reading(data).has_repeated_keys
        if len(data) > MOST_BYTES:
            return False
        return count_items(data, len(data)) > count_of(value)


cdef bytes bytes_of(object payload):
    if isinstance(payload, str):
        return payload.encode("utf-8", "surrogatepass")
    return bytes(payload)


cdef int require_payload(Wire wire, payload) except -1:
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return 0
    if wire.is_json and isinstance(payload, str):
        return 0
    expected = "bytes, bytearray, memoryview" + (" or str" if wire.is_json else "")
    raise TypeError(
        f"a {wire.format} payload is {expected}, not {type(payload).__qualname__}"
    )


cdef object invalid(str code, str message):
    return ValidationError([("$", code, message)])


JSON = Wire("JSON", msgspec.json)
MSGPACK = Wire("MessagePack", msgspec.msgpack)


constructed(Decoder)
constructed(Wire)
