"""What a pool misses at its end: builds for debugging say where it was acquired."""

import sys
import warnings


cdef object caller():
    """Where the Python code stands that called."""
    frame = sys._getframe()
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


cdef int warn_of_missing(dict places, str end) except -1:
    if not places:
        return 0
    where = ", ".join(sorted(set(places.values())))
    warnings.warn(
        f"a pool was {end} with {len(places)} of its objects in use, acquired at "
        f"{where}",
        ResourceWarning,
        stacklevel=1,
    )
    return 0
