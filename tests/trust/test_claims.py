"""What `docs/rfc5280.md` claims is held by tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parents[1] / "docs" / "rfc5280.md").read_text()


def _functions(file: Path) -> set[str]:
    return {n.name for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.FunctionDef)}


def _named() -> list[tuple[str, str]]:
    """Every test that the page names, with its file; `::` goes on with the file before it."""
    found, file = [], ""
    for name, test in re.findall(r"`(?:tests/trust/)?(test_\w+\.py)?(?:::)?(test_\w+)?`", PAGE):
        file = name or file
        if test:
            found.append((file, test))
    return found


def test_every_test_that_the_page_names_is_there() -> None:
    """By file and function."""
    named = _named()
    assert len(named) > 60
    missing = [f"{file}::{test}" for file, test in named if test not in _functions(TESTS / file)]
    assert [] == missing
