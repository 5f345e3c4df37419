"""An event loop that is run again and again, for a moment each time."""

from __future__ import annotations

import asyncio
from typing import Any


class Stepper:
    """Run coroutines on an event loop of its own, which the first one starts."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Any) -> Any:
        """Return its result. Ctrl-C leaves at once: asyncio.run would wait for an await
        that suspends, and there may be none."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(coroutine)

    def close(self) -> None:
        """Cancel what still runs there, and close the loop."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        try:
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=1.0))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
