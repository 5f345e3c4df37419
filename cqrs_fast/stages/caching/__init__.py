"""The caching middleware: its cache, and the loads in flight."""
