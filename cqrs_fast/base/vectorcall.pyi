from typing import TypeVar

_T = TypeVar("_T", bound=type)

def inherit_vectorcall(metaclass: _T) -> _T: ...
