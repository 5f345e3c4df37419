"""Waiters, the lines that they wait in, and shared runs."""
