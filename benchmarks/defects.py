"""Show what other libraries do with input that this one makes promises about.

Each row gives one input to several libraries, measures a number on each, and compares
it with what is promised here. The verdict follows from the measurement alone. A library
is used with its default settings where the question does not say otherwise; what it
never claimed to do is in the table as well, so read the question before the verdict.

The rivals live in an environment of their own, in the versions of
benchmarks/rivals/requirements.txt. cqrs_fast itself comes from the tree where that is
built in place (then msgspec is all it needs there), else it is to be installed:

    python -m venv .venv-rivals
    .venv-rivals/bin/pip install -r benchmarks/rivals/requirements.txt
    .venv-rivals/bin/pip install .
    .venv-rivals/bin/python benchmarks/defects.py

`--row NAME` (more than once if need be) asks single questions, `--list` names them,
`--json` prints all that was measured. A rival that is not installed, hangs or changed
its interface is reported and left out. The exit status is 1 only where cqrs_fast itself
breaks a promise.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    # The folder of this script holds no package; the one above it holds two.
    sys.path[:] = [entry for entry in sys.path if entry != str(ROOT / "benchmarks")]
    if not any((ROOT / "cqrs_fast").glob("*.so")):
        importlib.import_module("cqrs_fast")  # the installed one: this is not built
    sys.path.insert(0, str(ROOT))

from benchmarks.rivals import (  # noqa: E402
    ask_breakers,
    ask_caches,
    ask_limiters,
)
from benchmarks.rivals.question import HOLDS, Answer, Question  # noqa: E402

QUESTIONS = (*ask_breakers.QUESTIONS, *ask_limiters.QUESTIONS, *ask_caches.QUESTIONS)


def answers(questions: Sequence[Question]) -> Iterator[Answer]:
    """Ask one after another, and say on stderr how far it is."""
    for number, question in enumerate(questions, 1):
        print(f"[{number}/{len(questions)}] {question.name}", file=sys.stderr)
        for subject in question.subjects:
            yield question.answer(subject)


def table(given: Iterable[Answer]) -> str:
    lines: list[str] = []
    last = None
    for answer in given:
        if answer.question is not last:
            last = answer.question
            lines += ["", f"{last.name}: {last.text}", f"    promised: {last.promise}"]
        name = f"{answer.subject.distribution} {answer.version or ''}"
        lines.append(
            f"    {name:<24}{answer.subject.what:<34}{answer.shown:>8}  "
            f"{answer.verdict}{answer.note and f' ({answer.note})'}"
        )
    return "\n".join(lines[1:])


def record(answer: Answer) -> dict[str, Any]:
    return {
        "row": answer.question.name,
        "question": answer.question.text,
        "promise": str(answer.question.promise),
        "distribution": answer.subject.distribution,
        "version": answer.version,
        "what": answer.subject.what,
        "measured": answer.measured,
        "verdict": answer.verdict,
        "note": answer.note,
    }


def broken_by_us(given: Iterable[Answer]) -> list[Answer]:
    """Return where this library did not do what it promises."""
    return [answer for answer in given if answer.is_ours and answer.verdict != HOLDS]


def main(arguments: Sequence[str] | None = None) -> int:
    names = [question.name for question in QUESTIONS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--row", action="append", choices=names, metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name the rows")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(names))
        return 0
    wanted = options.row or names
    given = list(answers([row for row in QUESTIONS if row.name in wanted]))
    if options.json:
        print(json.dumps([record(answer) for answer in given], indent=2))
    else:
        print(table(given))
    broken = broken_by_us(given)
    for answer in broken:
        print(f"broken by cqrs_fast: {answer.question.name}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
