"""Which event loop this thread runs: one who would block it must not wait."""

import sys


cdef object running_loop():
    # Where nobody has imported asyncio, no loop runs; where somebody imports it just
    # now, the function may be missing.
    running = getattr(sys.modules.get("asyncio.events"), "_get_running_loop", None)
    return None if running is None else running()
