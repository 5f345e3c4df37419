"""Let a class show the parameters of its constructor, and explain a wrong keyword."""

# Call it at the end of the module, before `constructed`. `__init__` needs a docstring.
cdef int signed(type cls) except -1

# Take `**unknown` from the signatures of its methods: it is there to be rejected.
cdef int without_unknown(type cls) except -1
