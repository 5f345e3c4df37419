"""Modules of compiled/, built outside the package from its `.pxd` files."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cqrs_fast

SOURCES = Path(__file__).parent / "compiled"
PACKAGES = Path(cqrs_fast.__file__).parents[1]


def compiled(name: str, folder: Path, sources: Path = SOURCES) -> ModuleType:
    """Build the module of that name in a folder, and import it."""
    shutil.copy(sources / f"{name}.pyx", folder)
    shutil.copy(SOURCES / "build.py", folder)
    # A sanitizer that is preloaded into this process has no business in the compiler.
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    build = subprocess.run(
        [sys.executable, "build.py", str(PACKAGES)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    (path,) = folder.glob(f"{name}.*.so")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
