"""Build the compiled modules of cqrs_fast: one table, five named modes.

CQRS_FAST_BUILD=release|profile|debug|trace|asan chooses the mode; the metadata is in
pyproject.toml. `cqrs_fast.build_info()` tells which mode a build was made in.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

HARDENING = ["-D_FORTIFY_SOURCE=2", "-fstack-protector-strong"]
COMMON = [
    "-std=c11",
    "-fvisibility=hidden",
    "-fno-strict-aliasing",
    "-fno-plt",
    "-Wno-unused-function",
    # GCC follows comparisons with None into accesses that never happen.
    "-Wno-array-bounds",
]
if platform.machine() in ("x86_64", "AMD64"):
    # Else GCC clears an object of a hundred bytes by `rep stos`, slower than by stores.
    COMMON.append("-mtune=skylake")
TRACE_MACROS = {
    "CYTHON_TRACE": "1",
    "CYTHON_TRACE_NOGIL": "1",
    "CYTHON_USE_SYS_MONITORING": "0",
}
SANITIZE = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]

# mode: compiler flags, linker flags, macros, Cython directives
MODES: dict[str, tuple[list[str], list[str], dict[str, str], dict[str, bool]]] = {
    "release": (
        ["-O3", "-g0", *HARDENING],
        ["-s"],
        {"CYTHON_WITHOUT_ASSERTIONS": "1"},
        {},
    ),
    "profile": (
        ["-O3", "-g1", "-fno-omit-frame-pointer", *HARDENING],
        [],
        {"CYTHON_WITHOUT_ASSERTIONS": "1"},
        {},
    ),
    "debug": (["-O0", "-g"], [], {}, {"boundscheck": True, "nonecheck": True}),
    "trace": (["-O1", "-g"], [], TRACE_MACROS, {"linetrace": True}),
    "asan": (["-O1", "-g", *SANITIZE], SANITIZE, {}, {}),
}

DIRECTIVES = {
    "language_level": 3,
    "binding": False,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
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

ROOT = Path(__file__).parent
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.glob("cqrs_fast/**/*.pyx"))
HEADERS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("cqrs_fast/**/*.h"))


def mode_stamp() -> str:
    """Return a file that is newer than every build made in another mode."""
    stamp = ROOT / "build" / "mode"
    if not stamp.exists() or stamp.read_text() != MODE:
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(MODE)
    return str(stamp.relative_to(ROOT))


def extension(path: Path, stamp: str) -> Extension:
    macros = {
        **MACROS,
        # What Cython 3.3.1 generates there drops what it never had, without memory.
        "CYTHON_VECTORCALL_TPNEW": "0",
        "CQRS_FAST_BUILD_MODE": f'"{MODE}"',
        "CQRS_FAST_BUILD_FLAGS": f'"{" ".join(FLAGS)}"',
    }
    return Extension(
        ".".join(path.with_suffix("").parts),
        [str(path)],
        define_macros=list(macros.items()),
        extra_compile_args=FLAGS,
        extra_link_args=["-Wl,-z,relro,-z,now", *LINK],
        include_dirs=["."],
        depends=[stamp, *HEADERS],
    )


STAMP = mode_stamp()
setup(
    ext_modules=cythonize(
        [extension(path, STAMP) for path in MODULES],
        build_dir=f"build/cython-{MODE}",
        nthreads=os.cpu_count() or 1,
        compiler_directives={**DIRECTIVES, **EXTRA_DIRECTIVES},
        emit_linenums=MODE == "profile",
    ),
    options={
        "build_ext": {
            "parallel": os.cpu_count() or 1,
            # Kept, by an editable installation too: what they are linked of has names.
            "build_temp": f"build/objects-{sys.implementation.cache_tag}",
        }
    },
)
