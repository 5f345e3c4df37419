from typing import TypeVar

T = TypeVar("T", bound=type)

def inherit_vectorcall(metaclass: T) -> T: ...
