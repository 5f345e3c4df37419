"""From handlers and middleware to routes."""
