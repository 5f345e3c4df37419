"""The rate limiting middleware and the line that waits for tokens."""
