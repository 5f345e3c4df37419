"""Compile foreign_stages.pyx, given the folder that holds the cqrs_fast package.

    python build_foreign.py PACKAGES

Run in the folder of the source; the module is put beside it.
"""

import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

packages = sys.argv[1]
setup(
    name="foreign-stages",
    script_args=["--quiet", "build_ext", "--inplace"],
    ext_modules=cythonize(
        [
            Extension(
                "foreign_stages",
                ["foreign_stages.pyx"],
                # What the package's own build turns off, a foreign one may leave on.
                extra_compile_args=["-O1", "-g0", "-Wno-unused-function"],
            )
        ],
        include_path=[packages],
        quiet=True,
    ),
)
