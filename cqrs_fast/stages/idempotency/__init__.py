"""The idempotency middleware and its records."""
