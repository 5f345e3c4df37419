"""Compile the modules in this folder, given the one that holds the cqrs_fast package.

    python build.py PACKAGES

Run in the folder of the sources; each module is put beside its source.
"""

import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

packages = sys.argv[1]
setup(
    name="foreign-stages",
    script_args=["--quiet", "build_ext", "--inplace"],
    ext_modules=cythonize(
        [
            Extension(
                path.stem,
                [path.name],
                # A stage needs no header of the package; who uses a policy does.
                include_dirs=[packages] if path.stem == "lines" else [],
                # What the package's own build turns off, a foreign one may leave on.
                extra_compile_args=["-O1", "-g0", "-Wno-unused-function"],
            )
            for path in Path().glob("*.pyx")
        ],
        include_path=[packages],
        quiet=True,
    ),
)
