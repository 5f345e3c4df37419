"""Where things lie, for tests wherever they lie themselves."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parents[1]
# A checkout, or where tests were copied to so as to test an installed package.
ROOT = TESTS.parent
