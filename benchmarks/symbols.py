"""Names of compiled functions, as their authors wrote them."""

from __future__ import annotations

import re
from pathlib import PurePath

KINDS = ("__pyx_f_", "__pyx_pw_", "__pyx_pf_", "__pyx_fuse_")
PART = re.compile(r"(\d+)(\w*)")
NAMELESS = "(without a name)"


def readable(symbol: str) -> str:
    """Return the dotted name of a function in Cython's generated C.

    `__pyx_f_9cqrs_fast_5buses_3bus_3Bus_route_for` is
    `cqrs_fast.buses.bus.Bus.route_for`. What the compiler split off a function, and its
    recursion, counts as that function; what is not Cython's stays.
    """
    symbol = re.split(r"[.@']", symbol)[0]
    kind = next((kind for kind in KINDS if symbol.startswith(kind)), None)
    if kind is None:
        return symbol
    parts = []
    rest = symbol.removeprefix(kind)
    while part := _leading_part(rest):
        parts.append(part)
        rest = rest[len(str(len(part))) + len(part) + 1 :]
    # A number in front of the name tells apart what Python may define twice.
    return ".".join([*parts, rest.lstrip("0123456789")])


def _leading_part(text: str) -> str | None:
    """Return the name that follows its length, if there is one."""
    match = PART.match(text)
    if match is None:
        return None
    length = int(match[1])
    name, after = match[2][:length], match[2][length : length + 1]
    return name if len(name) == length and after == "_" else None


def module_of(path: str) -> str:
    """Return what a compiled file is called: the module, for one of this package."""
    pure = PurePath(path)
    name = pure.name.split(".")[0]
    if "cqrs_fast" in pure.parts:
        last = len(pure.parts) - 1 - pure.parts[::-1].index("cqrs_fast")
        return ".".join([*pure.parts[last:-1], name])
    return name


def title(path: str, symbol: str) -> str:
    """Return the name of a function with the module it lies in, once."""
    module = module_of(path)
    if symbol.startswith(("0x", "???")):
        return f"{module}: {NAMELESS}"
    name = readable(symbol)
    if name.startswith(f"{module}."):
        name = name.removeprefix(f"{module}.")
    return f"{module}: {name}"
