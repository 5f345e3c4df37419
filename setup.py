"""Build the compiled modules of cqrs_fast: one table, five named modes.

CQRS_FAST_BUILD=release|profile|debug|trace|asan chooses the mode, and
`cqrs_fast.build_info()` tells it. The metadata is in pyproject.toml.
"""

import os
import platform
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command import build_ext as original

# GCC follows comparisons with None into accesses that never happen: -Wno-array-bounds.
COMMON = ["-std=c11", "-fvisibility=hidden", "-fno-strict-aliasing", "-fno-plt"]
COMMON += ["-Wno-unused-function", "-Wno-array-bounds"]
if platform.machine() in ("x86_64", "AMD64"):
    # Else GCC clears an object of a hundred bytes by `rep stos`, slower than by stores.
    COMMON.append("-mtune=skylake")
HARDENING = ["-D_FORTIFY_SOURCE=2", "-fstack-protector-strong"]
NO_ASSERTIONS = {"CYTHON_WITHOUT_ASSERTIONS": "1"}
TRACED = {"CYTHON_TRACE_NOGIL": "1", "CYTHON_USE_SYS_MONITORING": "0"}
FRAMES = "-fno-omit-frame-pointer"
SANITIZE = ["-fsanitize=address,undefined", FRAMES]

# mode: compiler flags, linker flags, macros, Cython directives
MODES: dict[str, tuple[list[str], list[str], dict[str, str], dict[str, bool]]] = {
    "release": (["-O3", "-g0", *HARDENING], ["-s"], NO_ASSERTIONS, {}),
    "profile": (["-O3", "-g1", FRAMES, *HARDENING], [], NO_ASSERTIONS, {}),
    "debug": (["-O0", "-g"], [], {}, {"boundscheck": True, "nonecheck": True}),
    "trace": (["-O1", "-g"], [], TRACED, {"linetrace": True}),
    "asan": (["-O1", "-g", *SANITIZE], SANITIZE, {}, {}),
}

DIRECTIVES = {
    "language_level": 3,
    "binding": False, "cdivision": True,
    "boundscheck": False, "wraparound": False, "initializedcheck": False,
    # What unpickling would fill in, outsiders could too.
    "auto_pickle": False,
    "embedsignature": True,
    "embedsignature.format": "clinic",
}

MODE = os.environ.get("CQRS_FAST_BUILD", "release")
if MODE not in MODES:
    raise SystemExit(f"CQRS_FAST_BUILD={MODE!r}: expected one of {', '.join(MODES)}")
COMPILE, LINK, MACROS, EXTRA_DIRECTIVES = MODES[MODE]
FLAGS = [*COMMON, *COMPILE]
DEFINED = {
    **MACROS,
    # What Cython 3.3.1 generates there drops what it never had, without memory.
    "CYTHON_VECTORCALL_TPNEW": "0",
    "CQRS_FAST_BUILD_MODE": f'"{MODE}"',
    "CQRS_FAST_BUILD_FLAGS": f'"{" ".join(FLAGS)}"',
}
# Written again where the mode changes, so it is newer than what other modes built.
STAMP = Path("build", "mode")


class build_ext(original.build_ext):  # setuptools finds its options by this very name
    """Translate all modules side by side, and only where something is built."""

    def build_extensions(self) -> None:
        if not STAMP.exists() or STAMP.read_text() != MODE:
            STAMP.parent.mkdir(exist_ok=True)
            STAMP.write_text(MODE)
        translated = cythonize(
            self.extensions,
            build_dir=f"build/cython-{MODE}",
            nthreads=os.cpu_count(),
            compiler_directives={**DIRECTIVES, **EXTRA_DIRECTIVES},
            emit_linenums=MODE == "profile",
        )
        for mine, theirs in zip(self.extensions, translated, strict=True):
            mine.sources = theirs.sources
        super().build_extensions()


# Objects are kept, by an editable installation too: what they are linked of has names.
OBJECTS = f"build/objects-{sys.implementation.cache_tag}"
setup(
    ext_modules=[
        Extension(
            ".".join(path.with_suffix("").parts),
            [str(path)],
            define_macros=list(DEFINED.items()),
            extra_compile_args=FLAGS,
            extra_link_args=["-Wl,-z,relro,-z,now", *LINK],
            include_dirs=["."],
            depends=[str(STAMP), *map(str, Path("cqrs_fast").rglob("*.h"))],
        )
        for path in sorted(Path("cqrs_fast").rglob("*.pyx"))
    ],
    cmdclass={"build_ext": build_ext},
    options={"build_ext": {"parallel": os.cpu_count(), "build_temp": OBJECTS}},
)
