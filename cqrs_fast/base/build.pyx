"""How this build was made."""


cdef extern from *:
    """
    #ifndef CQRS_FAST_BUILD_MODE
    #error "build with setup.py, which sets the mode"
    #endif
    """
    const char *CQRS_FAST_BUILD_MODE
    const char *CQRS_FAST_BUILD_FLAGS
    const char *CYTHON_ABI_VERSION "CYTHON_ABI"
    const char *__VERSION__


def build_info():
    """Return the build as a dict of strings: mode, flags, compiler, Cython, version."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("cqrs-fast")
    except PackageNotFoundError:
        installed = "unknown"
    return {
        "version": installed,
        "mode": CQRS_FAST_BUILD_MODE.decode(),
        "flags": CQRS_FAST_BUILD_FLAGS.decode(),
        "compiler": __VERSION__.decode(),
        "cython": CYTHON_ABI_VERSION.decode(),
    }
