"""Ids that no other process makes."""

# A new one: short, in order, and not secret.
cdef str new_id()
