"""Payloads from outside: JSON and MessagePack in, messages out, results back."""
