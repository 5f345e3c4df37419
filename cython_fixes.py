"""Mend what Cython 3.3.1 generates for the case that memory runs out; setup.py uses it.

Where an allocation fails, MemoryError is due. In three places the generated C ends the
process instead; `make hunt` finds each of them. A Cython that has other text there is
refused, so that somebody looks whether it needs mending.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from Cython.Compiler import Nodes, PyrexTypes
from Cython.Compiler.Code import TempitaUtilityCode, UtilityCode

# A list comprehension: the caller drops the item, too, where it could not be appended.
APPEND = "    Py_DECREF(x);\n    return result;"
SOUND_APPEND = "    if (result == 0) Py_DECREF(x);\n    return result;"
# A class that is called with keywords: all of these are dropped at the end, however
# many were filled in before a failure.
STACK = "PyObject *stack_args[5];"
ZEROED_STACK = "PyObject *stack_args[5] = {NULL, NULL, NULL, NULL, NULL};"
HEAP = "PyMem_Malloc(((size_t)total_size)*sizeof(PyObject*))"
ZEROED_HEAP = "PyMem_Calloc((size_t)total_size, sizeof(PyObject*))"
# How Cython's ModuleNode.py asks for that.
TPNEW = {
    "ret_type": "PyObject *",
    "name": "tpnew",
    "obj_type": "PyTypeObject*",
    "error_value": "NULL",
}


def mend() -> None:
    """Let this process's Cython generate the mended code."""
    append = UtilityCode.load_cached("ListCompAppendAndDecref", "Optimize.c")
    replace(append, APPEND, SOUND_APPEND)
    call = TempitaUtilityCode.load_cached(
        "CallSlotAsVectorcall", "ExtensionTypes.c", context=TPNEW
    )
    replace(call, STACK, ZEROED_STACK)
    replace(call, HEAP, ZEROED_HEAP)
    allow_no_traceback()


def replace(utility: UtilityCode, wrong: str, right: str) -> None:
    if wrong not in utility.impl:
        raise SystemExit(f"cython_fixes.py: look at {utility.name} of this Cython")
    utility.impl = utility.impl.replace(wrong, right)


def allow_no_traceback() -> None:
    """Let a `return` in an `except` clause drop a traceback that could not be made."""
    handle = Nodes.ExceptClauseNode.generate_handling_code
    drop = PyrexTypes.PyObjectType.get_decref_clear_code
    depth = 0

    def generate_handling_code(*arguments: Any) -> None:
        nonlocal depth
        depth += 1
        try:
            handle(*arguments)
        finally:
            depth -= 1

    def get_decref_clear_code(self: Any, cname: str, **how: Any) -> str:
        return (self.get_xdecref_clear_code if depth else partial(drop, self))(
            cname, **how
        )

    Nodes.ExceptClauseNode.generate_handling_code = generate_handling_code
    PyrexTypes.PyObjectType.get_decref_clear_code = get_decref_clear_code
