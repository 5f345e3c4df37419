"""Read the fields of record classes: names, places, annotations."""

from __future__ import annotations

import builtins
import collections
import dataclasses
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from cqrs_fast.validation.record_nodes import Field

Bindings = dict[Any, Any]  # type variables and their values

PLAIN = frozenset({int, float, str, bool, bytes})
"""The types of most fields: there is nothing to resolve in them."""
# No file is an instance of them.
DECLARED_ONLY = (typing.IO, typing.TextIO, typing.BinaryIO)
WRAPPERS = {typing.Final, typing.ClassVar, typing.Required, typing.NotRequired}


def is_record(hint: Any) -> bool:
    """Return whether this is a class whose fields msgspec reads."""
    return (
        isinstance(hint, type)
        and not hasattr(hint, "__pydantic_validator__")  # Pydantic checks its own
        and (
            issubclass(hint, msgspec.Struct)
            or dataclasses.is_dataclass(hint)
            or hasattr(hint, "__attrs_attrs__")
            or (issubclass(hint, tuple) and hasattr(hint, "_fields"))
            or (issubclass(hint, dict) and hasattr(hint, "__total__"))
        )
    )


def alias_of(hint: Any) -> Any:
    """Return the `type` alias that an annotation is or instantiates, else None.

    By the name of its class, because typing_extensions has a separate class.
    """
    origin = typing.get_origin(hint)
    alias = hint if origin is None else origin
    return alias if type(alias).__name__ == "TypeAliasType" else None


def is_wrapper(origin: Any) -> bool:
    """Return whether this describes the use of a field, not its values."""
    return origin in WRAPPERS or getattr(origin, "_name", None) == "ReadOnly"


def says_nothing(argument: Any) -> bool:
    """Return whether a type argument accepts everything."""
    if isinstance(argument, list | tuple):
        return all(map(says_nothing, argument))
    variables = (typing.TypeVar, typing.ParamSpec)
    return argument in (typing.Any, object, ...) or isinstance(argument, variables)


def shown(hint: Any) -> str:
    """Return an annotation as its author wrote it."""
    is_class = isinstance(hint, type) and typing.get_origin(hint) is None
    return hint.__qualname__ if is_class else str(hint)


def substitute(hint: Any, bindings: Bindings) -> Any:
    """Replace type variables by their values."""
    if isinstance(hint, typing.TypeVar):
        return bindings.get(hint, hint)
    parameters: Any = getattr(hint, "__parameters__", ())
    is_class = isinstance(hint, type) and typing.get_origin(hint) is None
    if is_class or bindings.keys().isdisjoint(parameters):
        return hint
    values = [
        typing.Unpack[name]
        if isinstance(name, typing.TypeVarTuple)
        else bindings.get(name, name)
        for name in parameters
    ]
    return typing.cast(Any, hint)[tuple(values)]


def bound_names(
    parameters: tuple[Any, ...], arguments: typing.Sequence[Any]
) -> Bindings:
    """Pair type variables with arguments; those of a TypeVarTuple are left out."""
    variadic = [isinstance(name, typing.TypeVarTuple) for name in parameters]
    if True not in variadic:
        return dict(zip(parameters, arguments, strict=False))
    index = variadic.index(True)
    after = parameters[index + 1 :]
    last = arguments[len(arguments) - len(after) :]
    pairs = [*zip(parameters[:index], arguments, strict=False)]
    return dict([*pairs, *zip(after, last, strict=False)])


def bindings_of(hint: Any) -> dict[type, Bindings]:
    """Return the values of the type variables of each generic base class."""
    found: dict[type, Bindings] = {}

    def visit(alias: Any, scope: Bindings) -> None:
        origin = typing.get_origin(alias) or alias
        if not isinstance(origin, type) or origin in found or origin is typing.Generic:
            return
        parameters = getattr(origin, "__parameters__", ())
        arguments = [substitute(part, scope) for part in typing.get_args(alias)]
        found[origin] = bound_names(parameters, arguments)
        for base in vars(origin).get("__orig_bases__", origin.__bases__):
            visit(base, found[origin])

    visit(hint, {})
    return found


def hints_of(cls: type) -> dict[str, Any]:
    """Return the annotations of a class, as texts if one of them does not resolve."""
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:  # one bad annotation hides all others
        hints: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            hints |= vars(base).get("__annotations__", {})
        return hints


def owner_of(cls: type, name: str) -> tuple[type, type | None]:
    """Return the class that annotates a field, and the annotation if it is plain.

    A field without an annotation belongs to the class itself.
    """
    for owner in cls.__mro__:
        annotations = vars(owner).get("__annotations__", ())
        if name in annotations:
            # typing has no hints of a class under @no_type_check.
            if getattr(cls, "__no_type_check__", None):
                return owner, None
            return owner, _plain(owner, annotations[name])
    return cls, None


def _plain(owner: type, annotation: Any) -> type | None:
    """Return the class of PLAIN that an annotation is or names, else None."""
    if type(annotation) is str:
        if getattr(owner, "__type_params__", ()):
            return None
        # The namespaces of typing.get_type_hints, in its order.
        module = getattr(sys.modules.get(owner.__module__), "__dict__", {})
        for names in (module, vars(owner), vars(builtins)):
            if annotation in names:
                annotation = names[annotation]
                break
    return annotation if type(annotation) is type and annotation in PLAIN else None


def fields_of(cls: Any) -> Iterator[tuple[str, str | int, bool]]:
    """Yield (name, name on the wire or position, required) for each field."""
    if issubclass(cls, msgspec.Struct):
        config = cls.__struct_config__
        names = cls.__struct_fields__
        if config.array_like:
            first = 0 if config.tag is None else 1
            wire_names = range(first, first + len(names))
        else:
            wire_names = cls.__struct_encode_fields__
        yield from zip(names, wire_names, [True] * len(names), strict=True)
    elif dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            yield field.name, field.name, field.init
    elif issubclass(cls, dict):
        required_keys = typing.cast(Any, cls).__required_keys__
        for name in cls.__annotations__:
            yield name, name, name in required_keys
    elif issubclass(cls, tuple):
        for index, name in enumerate(typing.cast(Any, cls)._fields):
            yield name, index, True
    else:
        for field in cls.__attrs_attrs__:
            yield field.name, field.name, field.init


def place(field: Field, cls: Any) -> None:
    """Set how the field of a class is read."""
    if issubclass(cls, tuple):
        field.read_from_tuple(typing.cast(Any, cls)._fields.index(field.name))
        return
    if issubclass(cls, dict):
        field.read_from_dict()
        return
    owners = (vars(base) for base in cls.__mro__)
    found = next((own[field.name] for own in owners if field.name in own), None)
    # A descriptor of another class, stored under this name, is no field of this.
    if isinstance(found, types.MemberDescriptorType) and issubclass(
        cls, found.__objclass__
    ):
        field.read_from_slot(found)


class Scope(NamedTuple):
    """The scope in which the names of an annotation are resolved."""

    owner: Any  # the class or alias that has the annotation
    hint: Any  # the same with its type arguments: the value of Self
    bindings: Bindings

    def resolve(self, text: str) -> Any:
        """Evaluate the text of an annotation; raises what it raises."""
        module = vars(sys.modules.get(self.owner.__module__, types))
        own = {self.owner.__name__: self.owner}
        for parameter in getattr(self.owner, "__type_params__", ()):
            own[parameter.__name__] = parameter
        inside = dict(vars(self.owner)) if isinstance(self.owner, type) else {}
        # In the order of typing: a field may have the name of its class.
        found = eval(text, inside, collections.ChainMap(own, module))
        return substitute(found, self.bindings)


def scopes_of(cls: type, hint: Any) -> dict[type, Scope]:
    """Return the scope of each class that may annotate a field of `cls`."""
    bindings = bindings_of(hint)
    return {base: Scope(base, hint, bindings.get(base, {})) for base in cls.__mro__}
