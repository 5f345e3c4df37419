"""What a pool misses at its end: builds for debugging say where it was acquired."""

from libc.stdint cimport uint32_t

import sys
import warnings


cdef int remember(dict places, uint32_t slot) noexcept:
    # What is only for a warning fails no acquisition: the object is lent already.
    try:
        frame = sys._getframe()
        places[slot] = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    except Exception:
        pass
    return 0


cdef int forget(dict places, uint32_t slot) noexcept:
    try:
        places.pop(slot, None)
    except MemoryError:
        # There is none for the number of the slot. Better no warning than a wrong one.
        places.clear()
    return 0


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
