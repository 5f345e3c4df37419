"""Let a class show the parameters of its constructor, and explain a wrong keyword."""

# Call it at the end of the module, before `constructed`. `__init__` needs a docstring.
# `not_given` is shown as the default that is NOT_GIVEN in the code.
cdef int signed(type cls, str not_given=*) except -1

# Take `**unknown` from the signatures of its methods: it is there to be rejected.
cdef int without_unknown(type cls) except -1
