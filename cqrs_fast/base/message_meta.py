"""The metaclass of messages: what every message class is, without being told."""

from __future__ import annotations

from typing import Any, dataclass_transform

import msgspec

from cqrs_fast.base.message_names import name_by_rule
from cqrs_fast.base.vectorcall import inherit_vectorcall


def _resolve_tag(class_name: str, tag: object) -> str:
    """Return the tag of a new class from what its definition asks for."""
    if tag is None:
        return name_by_rule(class_name)
    if callable(tag):
        tag = tag(class_name)
    if isinstance(tag, str) and tag:
        return str.__str__(tag)  # msgspec takes no subclass, such as a StrEnum's
    raise TypeError(
        f"{class_name}: the tag is the name of the message, a string that is not "
        f"empty; got {tag!r}"
    )


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class MessageMeta(msgspec.StructMeta):
    """Make every message class frozen and tagged with its name."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        /,
        **options: Any,
    ) -> MessageMeta:
        if not options.setdefault("frozen", True):
            raise TypeError(f"{name}: messages are immutable; remove frozen=False")
        # Always passed on: msgspec would let subclasses inherit an explicit tag.
        options["tag"] = _resolve_tag(name, options.get("tag"))
        return super().__new__(mcls, name, bases, namespace, **options)


# A message is made for every dispatch.
inherit_vectorcall(MessageMeta)
