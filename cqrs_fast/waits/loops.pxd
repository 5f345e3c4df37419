"""Which event loop this thread runs: one who would block it must not wait."""


# The running event loop of this thread, or None. It imports nothing.
cdef object running_loop()
