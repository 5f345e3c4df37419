"""Prevent objects that no constructor has filled.

A compiled method relies on the fields that the constructor has set. `X.__new__(X)`, or
a second `__init__` while the object is in use, would break that. So each final class is
sealed at the end of its module. Calls of the class, and objects that the library makes
itself, do not become slower.
"""

cdef extern from "cqrs_fast/base/sealing.h":
    # Only a call of the class makes its objects, and initializes them once.
    int constructed "cqrs_constructed"(type cls) except -1
    # Only the library makes objects of the class.
    int internal "cqrs_internal"(type cls) except -1
