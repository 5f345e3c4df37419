"""Check what a source distribution and a wheel contain.

    python .ci/contents.py dist/*.tar.gz dist/*.whl

Every source is in the one, every compiled module with its .pxd and .pyi in the other,
and generated C in neither.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = (".h", ".py", ".pyx", ".pxd", ".pyi", ".typed", ".json")


def main(sdist: Path, wheel: Path) -> None:
    package = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.glob("cqrs_fast/**/*")
        if path.suffix in SOURCES or path.name == "py.typed"
    }
    examples = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.glob("examples/**/*")
        if path.suffix in SOURCES
    }
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())

    wanted = package | examples | {"setup.py", "pyproject.toml", "README.md", "LICENSE"}
    expect("the sdist lacks", wanted - in_sdist)
    # A stage to copy and compile is for those who have the sources.
    shipped = {f"cqrs_fast/{name}" for name in examples if not name.endswith(".pyx")}
    expect("the wheel lacks", shipped - in_wheel)
    modules = {name.removesuffix(".pyx") for name in package if name.endswith(".pyx")}
    compiled = {name.split(".")[0] for name in in_wheel if name.endswith(".so")}
    expect("the wheel lacks the compiled", modules - compiled)
    expect("the wheel lacks", {n for n in package if not n.endswith(".pyx")} - in_wheel)
    expect("the wheel should not hold", {n for n in in_wheel if n.endswith(".pyx")})
    strangers = {n for n in in_wheel if not n.startswith("cqrs_fast")}
    expect("the wheel should not hold", strangers)
    for kind, names in (("sdist", in_sdist), ("wheel", in_wheel)):
        built = {name for name in names if name.endswith((".c", ".cpp", ".o", ".pyc"))}
        built = {name for name in built if not name.startswith("tests/native/")}
        expect(f"the {kind} should not hold", built)
    expect("the sdist should not hold", {n for n in in_sdist if n.endswith(".so")})
    print(f"{sdist.name}: {len(in_sdist)} entries; {wheel.name}: {len(in_wheel)}")


def expect(what: str, names: set[str]) -> None:
    if names:
        sys.exit(f"{what}: {', '.join(sorted(names))}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
