"""A pooled handler: costly to make, and used by one call at a time."""

from __future__ import annotations

from cqrs_fast import Context, PooledHandler, Query, QueryBus


class Render(Query[str]):
    """Fill a template."""

    name: str


class Renderer:
    """Handle `Render` with a buffer that two calls must not share."""

    def __init__(self) -> None:
        # Make expensive resources here: a parser, a model, a connection.
        self.buffer = bytearray()

    def handle(self, ctx: Context, query: Render) -> str:
        """Fill the buffer; `clean` clears it after the call."""
        self.buffer += b"Hello, "
        self.buffer += query.name.encode()
        return self.buffer.decode()


def clean(renderer: Renderer) -> None:
    """Make a renderer ready for the next call."""
    renderer.buffer.clear()


def make_handler() -> PooledHandler:
    """Return a handler with four renderers; a fifth caller waits for half a second."""
    return PooledHandler(Renderer, size=4, reset=clean, max_wait=0.5)


def run() -> str:
    """Handle two messages with the same renderer."""
    bus = QueryBus()
    handler = make_handler()
    bus.register_handler(Render, handler)

    bus.execute(Render(name="Ada"))
    text = bus.execute(Render(name="Grace"))
    print(handler.stats())
    return text


if __name__ == "__main__":
    print(run())
