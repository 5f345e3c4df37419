"""How much Python is in the hot functions? Compare it with committed ceilings.

    python -m profiles.annotate [--update]
    python -m profiles.annotate FILE.pyx

A function is hot where a comment in it begins with `# hot`. What is counted are the
calls of Python's C interface, and of Cython's helpers around it, in the C that Cython
makes of the function: its cold branches too. The score weighs them as the yellow of
Cython's annotated HTML does, which is written into build/annotate.

A function that scores over its ceiling fails, with the calls that were added.
`--update` writes the ceilings. With FILE that file alone is translated, and its hot
lines that are yellow are shown.
"""

from __future__ import annotations

import argparse
import ast
import html
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.environment import ROOT
from benchmarks.symbols import readable
from profiles.needs import EXTRA_TEST, say

CEILINGS = Path(__file__).with_suffix(".json")
FOLDER = ROOT / "build" / "annotate"
UPDATE = "python -m profiles.annotate --update"
HOT = re.compile(r"\s*# hot\b")
CLASS = re.compile(r"\s*(?:cdef )?class (\w+)")
FUNCTION = re.compile(r"\s*(?:async )?(?:def|cdef|cpdef)\b[^=(]*?(\w+)\(")
DEFINITION = re.compile(r"^\w[^;{}\n]*?\b(__pyx_(?:f|pf|pw)_\w+)\([^;{}]*\) \{$", re.M)
COMMENT = re.compile(r"/\*.*?\*/", re.S)
CALL = re.compile(r"\b(?:Py[A-Z][A-Za-z]*_\w+|__Pyx_[A-Z]\w*)(?=\()")
# Counting of references and bookkeeping of errors, which are in every function.
FREE = re.compile(r"__Pyx_(?:X?(?:GOT|GIVE)REF|RefNanny\w*|Trace\w*|AddTraceback)")
LINE = re.compile(
    r'<pre class="cython line score-(\d+)"[^>]*>'
    r'.<span class="">(\d+)</span>: (.*?)</pre>'
)
SHOWN = 4
YELLOW = 5
"""The score of one call: a line with less only counts references."""

Ceilings = dict[str, dict[str, int]]


def directives() -> dict[str, Any]:
    """Return the compiler directives of setup.py."""
    wanted = "DIRECTIVES"
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == wanted:
            found: dict[str, Any] = ast.literal_eval(node.value)
            return found
    raise ValueError(f"setup.py has no {wanted}")


def module_name(path: Path) -> str:
    """Return the name of a module, in the packages that it lies in."""
    names = [path.stem]
    folder = path.parent
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names)


def hot_functions(source: str, module: str) -> Iterator[str]:
    """Yield the functions of a .pyx or .pxd file that a comment calls hot."""
    scopes: list[tuple[int, str, bool]] = []  # with what is indented less than they
    lines = source.splitlines()
    for index, line in enumerate(lines):
        name = CLASS.match(line) or function_at(lines, index)
        if name is None and not HOT.match(line):
            continue
        indent = len(line) - len(line.lstrip())
        while scopes and scopes[-1][0] >= indent:
            scopes.pop()
        if name is not None:
            scopes.append((indent, name[1], name.re is FUNCTION))
        elif scopes and scopes[-1][2]:
            yield ".".join([module, *(name for _, name, _ in scopes)])
        else:
            raise ValueError(f"{module}, line {index + 1}: `# hot` in no function")


def function_at(lines: list[str], index: int) -> re.Match[str] | None:
    """Return the name of the function that is defined from this line on, if one is."""
    match = FUNCTION.match(lines[index])
    if match is None:
        return None
    depth = 0
    for line in lines[index:]:
        statement = line.partition("#")[0].rstrip()
        depth += statement.count("(") - statement.count(")")
        if depth <= 0:
            # A declaration, or a variable, has no block.
            return match if statement.endswith(":") else None
    return None


def calls_of(code: str) -> dict[str, Counter[str]]:
    """Return the calls of Python in each function of generated C, by readable name."""
    code = COMMENT.sub("", code)
    found: dict[str, Counter[str]] = {}
    for match in DEFINITION.finditer(code):
        body = code[match.end() : code.find("\n}\n", match.end())]
        calls = found.setdefault(readable(match[1]), Counter())
        calls.update(call for call in CALL.findall(body) if not FREE.fullmatch(call))
    return found


def score(calls: Mapping[str, int]) -> int:
    """Return how yellow these calls are, with the weights of Cython's annotation."""
    return sum(weight(call) * count for call, count in calls.items())


def weight(call: str) -> int:
    macro = call.rpartition("_")[2].isupper()
    if macro:
        return 1
    return 2 if call.startswith("__Pyx_") else 5


def translated(paths: Iterable[Path]) -> list[Path]:
    """Let Cython translate and annotate these files; return the C files."""
    try:
        from Cython.Build import cythonize
    except ImportError:
        sys.exit(f"nothing annotated: Cython is not installed: {EXTRA_TEST}")
    extensions = cythonize(  # type: ignore[no-untyped-call]  # of Cython
        [str(path.relative_to(ROOT)) for path in paths],
        build_dir=str(FOLDER.relative_to(ROOT)),
        nthreads=os.cpu_count() or 1,
        annotate=True,
        quiet=True,
        compiler_directives=directives(),
    )
    return [ROOT / source for each in extensions for source in each.sources]


def measured(sources: Iterable[Path]) -> Ceilings:
    """Return the calls in each hot function of .pyx and .pxd files."""
    hot: list[str] = []
    modules = set()
    for path in sorted(sources):
        names = list(hot_functions(path.read_text(), module_name(path)))
        hot += names
        if names or path.suffix == ".pyx":
            modules.add(path.with_suffix(".pyx"))
    found: dict[str, Counter[str]] = {}
    for code in translated(sorted(modules)):
        for name, calls in calls_of(code.read_text()).items():
            # An inline function is in each module that uses it: the same code.
            found[name] = max(found.get(name, Counter()), calls, key=score)
    missing = [name for name in hot if name not in found]
    if missing:
        sys.exit(f"hot, but not in the generated C: {', '.join(missing)}")
    return {name: dict(sorted(found[name].items())) for name in hot}


def check(committed: dict[str, Any], present: Ceilings) -> int:
    """Compare the hot functions with their ceilings; return the exit status."""
    failures = 0
    for name in committed.keys() - present.keys():
        print(f"{name}: no longer hot")
    for name, calls in present.items():
        old = committed.get(name)
        if old is None:
            print(f"{name}: hot, and without a ceiling")
            failures += 1
        elif score(calls) > score(old):
            more = Counter(calls) - Counter(old)
            added = ", ".join(f"{call} x {count}" for call, count in more.items())
            print(f"{name}: from {score(old)} to {score(calls)}: {added}")
            failures += 1
    total = sum(map(score, present.values()))
    print(f"{len(present)} hot functions score {total}; {failures} over their ceilings")
    if failures:
        print(f"see {FOLDER.relative_to(ROOT)}; what shall cost more: {UPDATE}")
    return min(failures, 1)


def hot_lines(source: str) -> Iterator[int]:
    """Yield the numbers of the lines below a `# hot`, to the end of its block."""
    inside: int | None = None
    for number, line in enumerate(source.splitlines(), 1):
        indent = len(line) - len(line.lstrip())
        if HOT.match(line):
            inside = indent
        elif inside is not None and line.strip() and indent < inside:
            inside = None
        if inside is not None:
            yield number


def yellow_lines(page: str, hot: set[int]) -> Iterator[tuple[int, int, str]]:
    """Yield score, number and text of hot lines that call Python, in annotated HTML."""
    for points, number, line in LINE.findall(page):
        if int(points) >= YELLOW and int(number) in hot:
            text = html.unescape(re.sub(r"<[^>]*>", "", line))
            yield int(points), int(number), text.rstrip()


def show(path: Path) -> None:
    """Print the hot functions of one file, and its yellow lines."""
    for name, calls in measured([path]).items():
        real = [call for call in calls if weight(call) > 1]
        most = sorted(real, key=lambda call: -weight(call) * calls[call])[:SHOWN]
        print(f"{name}: {score(calls)}{', most of it: ' if most else ''}", end="")
        print(", ".join(most))
    page = FOLDER / path.relative_to(ROOT).with_suffix(".html")
    hot = set(hot_lines(path.read_text()))
    for points, number, line in yellow_lines(page.read_text(), hot):
        print(f"{points:5} line {number:4}: {line}")
    print(f"the whole file: {page.relative_to(ROOT)}")


def compiler() -> str:
    """Return the version of Cython, which the ceilings depend on."""
    return version("Cython")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m profiles.annotate")
    parser.add_argument("file", nargs="?", type=Path, help="one .pyx file")
    parser.add_argument("--update", action="store_true", help="write the ceilings")
    options = parser.parse_args()
    os.chdir(ROOT)
    if options.file is not None:
        path = (ROOT / options.file).resolve()
        if path.suffix != ".pyx" or not path.is_relative_to(ROOT) or not path.exists():
            sys.exit(f"{options.file}: there is no such .pyx file in this tree")
        show(path)
        return
    say("Cython translates the modules")
    present = measured(ROOT.glob("cqrs_fast/**/*.p[yx][xd]"))
    if options.update:
        document = {"cython": compiler(), "functions": present}
        CEILINGS.write_text(json.dumps(document, indent=1) + "\n")
        print(f"{CEILINGS.relative_to(ROOT)}: {len(present)} hot functions")
        return
    committed = json.loads(CEILINGS.read_text())
    if committed["cython"] != compiler():
        print(
            f"not judged: the ceilings are of Cython {committed['cython']}, this is "
            f"{compiler()}"
        )
        return
    sys.exit(check(committed["functions"], present))


if __name__ == "__main__":
    main()
