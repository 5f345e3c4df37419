"""Next: the inner route as an around middleware calls it."""

from cqrs_fast.pipeline.route cimport Route


cdef class Next:
    cdef Route route
    cdef bint awaitable         # next() gives an awaitable rather than the result
