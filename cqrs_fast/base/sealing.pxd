"""Keep outsiders from objects that no constructor has filled.

A compiled method trusts its object: a field that a constructor fills is there. Python
would let anybody go round that, by `X.__new__(X)` or by a second `__init__` while
others use what the first one made. A final class is therefore sealed at the end of its
module. Neither a call of the class nor how the library makes its own objects looks at
that.
"""

cdef extern from "cqrs_fast/base/sealing.h":
    # Objects of the class are made by a call of it alone, and once.
    int constructed "cqrs_constructed"(type cls) except -1
    # Objects of the class are made by the library alone.
    int internal "cqrs_internal"(type cls) except -1
