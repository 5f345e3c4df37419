"""Examples that run: the quick start, and an order service on SQLite."""
