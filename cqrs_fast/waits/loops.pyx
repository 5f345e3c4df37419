"""Which event loop this thread runs: it must not be blocked by a wait."""

import sys


cdef object running_loop():
    # If asyncio is not imported, no loop runs; while it is being imported, the function
    # may be missing.
    running = getattr(sys.modules.get("asyncio.events"), "_get_running_loop", None)
    return None if running is None else running()
