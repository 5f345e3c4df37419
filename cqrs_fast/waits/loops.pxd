"""Which event loop this thread runs: it must not be blocked by a wait."""


# The running event loop of this thread, or None. Never imports asyncio.
cdef object running_loop()
