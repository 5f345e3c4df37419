"""What the stubs of the package say about constructors and methods."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    origin = Path(spec.origin)
    stub = origin.with_name(f"{module.rpartition('.')[2]}.pyi")
    source = stub if stub.exists() else origin
    tree = ast.parse(source.read_text())
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def stub_parameters(cls: type, method: str = "__init__") -> list[str]:
    """Return the parameters of a method as the stub lists them, without `self`.

    Looks along the bases too; of overloads the longest counts. Names of parameters that
    are keywords only have a `*` before them.
    """
    for base in cls.__mro__:
        if not base.__module__.startswith("cqrs_fast"):
            continue
        found = [
            _names(node.args)
            for node in _classes(base.__module__)[base.__name__].body
            if isinstance(node, ast.FunctionDef) and node.name == method
        ]
        if found:
            return max(found, key=len)
    raise LookupError(f"{cls.__name__}.{method} is in no stub")


def _names(arguments: ast.arguments) -> list[str]:
    positional = [one.arg for one in arguments.posonlyargs + arguments.args]
    keywords = [f"*{one.arg}" for one in arguments.kwonlyargs]
    return positional[1:] + keywords
