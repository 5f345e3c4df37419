"""Endings: what is done when a dispatch ends, and again when the one around it does."""

from cqrs_fast.context cimport Context


# Call `ending()` once the dispatch whose own context this is has ended, whichever way,
# and again for each dispatch that it is nested in, up to the root. What it raises is
# reported.
cdef int at_end(Context own, object ending) except -1

# The dispatch whose own context this is has ended; for drivers, if its notes say
# ENDINGS.
cdef int run_endings(Context own) noexcept
