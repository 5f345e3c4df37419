"""Decode payloads into the registered classes, most of them in one pass."""

import functools
import operator
import os

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear, PyErr_ExceptionMatches
from cpython.ref cimport PyObject

from cqrs_fast.base.calling cimport call_one
from cqrs_fast.base.errstate cimport steal
from cqrs_fast.base.sealing cimport constructed
from cqrs_fast.payloads.structure cimport SOUND
from cqrs_fast.payloads.wire cimport Decoder, Wire

from typing import get_origin

import msgspec

from cqrs_fast.errors import HandlerNotFoundError, ValidationError
from cqrs_fast.payloads import wire as formats

cdef extern from *:
    bint PyUnicode_CheckExact(object text) noexcept
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    void* PyUnicode_1BYTE_DATA(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept

cdef str TAG_FIELD = formats.TAG_FIELD
cdef Wire JSON = formats.JSON
cdef Wire MSGPACK = formats.MSGPACK
LONGEST_WIRE_NAME = 128     # characters, in an error


cdef Payloads payloads_of(bint is_json, dict classes, Py_ssize_t max_bytes):
    return Payloads(JSON if is_json else MSGPACK, classes, max_bytes)


@cython.final
cdef class Payloads:
    """What payloads of one format become.

    Parameters:
        wire: JSON or MSGPACK of cqrs_fast.payloads.wire.
        classes: the message class of each name, with its type arguments; None where a
            name has none.
        max_bytes: the size that a payload may have.
    """

    def __init__(self, Wire wire not None, dict classes not None, Py_ssize_t max_bytes):
        self.wire = wire
        self.classes = classes
        self.max_bytes = max_bytes
        self.decoders = {}
        fields = set()
        for name, message_class in classes.items():
            fields.add(tag_field_of(message_class, name))
        # "$type" first; the others in a stable order
        self.tag_fields = tuple(sorted(fields, key=other_tag_field)) or (TAG_FIELD,)
        self.decode_tags = wire.tag_decoder(self.tag_fields)

    def decode(self, payload):
        """Return the message of a payload whose name is among the classes.

        Raises ValidationError for a payload that cannot be decoded,
        HandlerNotFoundError for an unknown name, and TypeError for a name without a
        class, or with one that cannot be decoded.
        """
        payload = self.checked(payload)
        return self.decode_as(self.name_of(payload), payload, None)

    cdef PyObject* decode_at_once(self, object payload) noexcept:
        cdef const unsigned char* data
        cdef Py_ssize_t size
        cdef PyObject* decode
        cdef bint is_array = False
        if PyBytes_CheckExact(payload):
            data = <const unsigned char*>PyBytes_AS_STRING(payload)
            size = PyBytes_GET_SIZE(payload)
        elif (
            self.wire.is_json
            and PyUnicode_CheckExact(payload)
            and PyUnicode_IS_COMPACT_ASCII(payload)
        ):
            data = <const unsigned char*>PyUnicode_1BYTE_DATA(payload)
            size = PyUnicode_GET_LENGTH(payload)
        else:
            return NULL
        if size > self.max_bytes or self.wire.scan(data, size, &is_array) != SOUND:
            return NULL
        decode = <PyObject*>(self.decode_array if is_array else self.decode_object)
        return NULL if decode == <PyObject*>None else call_one(
            decode, <PyObject*>payload
        )

    cdef object checked(self, object payload):
        return self.wire.checked(payload, self.max_bytes)

    cdef str name_of(self, object payload):
        tags = self.wire.tags_of(payload, self.tag_fields, self.decode_tags)
        for field, name in tags:
            # an array has its name first, whatever the field is
            if name in self.classes:
                expected = tag_field_of(self.classes[name], name)
                if field is None or field == expected:
                    return name
        name = tags[0][1]
        if name in self.classes:
            field = tag_field_of(self.classes[name], name)
            raise ValidationError([(f"$.{field}", "missing", "required, but not set")])
        # A client may send a name of any length, and errors are stored and forwarded.
        name = name[:LONGEST_WIRE_NAME]
        raise HandlerNotFoundError(name, registered=sorted(self.classes))

    cdef object decode_as(self, str name, object payload, object error):
        if self.classes[name] is None:
            raise TypeError(
                f"{name} is registered by name alone, so there is no class to decode "
                "it into: register the class instead"
            )
        cdef Decoder decoder = self.decoder_of(name)
        if self.united is None:
            self.unite()
        if error is None or name not in self.united:
            return decoder.decode(payload)
        if not isinstance(error, formats.UNDECODABLE):
            raise error
        raise decoder.error_of(error, payload)

    cdef Decoder decoder_of(self, str name):
        decoder = self.decoders.get(name)
        if decoder is None:
            decoder = Decoder(self.wire, self.classes[name], name)
            self.decoders[name] = decoder
        return decoder

    cdef object encode(self, object result, str name):
        cdef PyObject* encoded = call_one(
            <PyObject*>self.wire.encode_result, <PyObject*>result
        )
        if encoded != NULL:
            return steal(encoded)
        if not PyErr_ExceptionMatches(Exception):
            return steal(NULL)
        PyErr_Clear()
        return self.wire.encode(result, name)

    cdef int unite(self) except -1:
        """Make the decoders of the unions; two threads make the same.

        A union of msgspec has one tag field: the first field that has objects, and the
        first that has arrays.
        """
        united = set()
        for array_like in (False, True):
            members = {}
            for field in self.tag_fields:
                members = members or self.decodable(field, array_like)
            decode = self.union_decoder(members)
            if array_like:
                self.decode_array = decode
            else:
                self.decode_object = decode
            united.update(members)
        self.united = united
        return 0

    cdef dict decodable(self, str field, bint array_like):
        """Return the classes that can be in one union, by name."""
        members, found = {}, {}
        for name, cls in self.classes.items():
            config = getattr(cls, "__struct_config__", None)
            if (
                config is not None
                and config.tag == name
                and config.tag_field == field
                and config.array_like == array_like
            ):
                members[name] = cls
        if self.union_decoder(members) is not None:
            return members
        for name, cls in members.items():  # without those that msgspec cannot decode
            if self.union_decoder({name: cls}) is not None:
                found[name] = cls
        return found

    cdef object union_decoder(self, dict members):
        """Return the decoder of a union of classes; None if msgspec cannot make one."""
        decode = None
        if members:
            try:
                classes = list(members.values())
                if len(classes) == 1:
                    config = classes[0].__struct_config__
                    classes.append(another(config.tag_field, config.array_like))
                union = functools.reduce(operator.or_, classes)
                decode = self.wire.new_decoder(union).decode
            except MemoryError:
                raise
            except Exception:  # of annotations too; `decoder_of` reports them
                pass
        return decode


@functools.cache
def another(tag_field, array_like):
    """Return a class that no payload names: a class alone would need no tag."""
    tag = os.urandom(16).hex()
    return msgspec.defstruct(
        "Another", [], tag=tag, tag_field=tag_field, array_like=array_like
    )


def other_tag_field(field):
    return field != TAG_FIELD, field


def tag_field_of(cls, name):
    """Return the field of the name in the payloads of a message."""
    config = getattr(get_origin(cls) or cls, "__struct_config__", None)
    if config is None or config.tag != name:
        return TAG_FIELD
    return config.tag_field


constructed(Payloads)
