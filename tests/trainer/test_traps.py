"""The table of silent faults in README.md names tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDER = Path(__file__).parent


def test_every_test_of_the_table_is_there() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", text)
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(named) == len(rows) > 25
    for file, test in named:
        tree = ast.parse((FOLDER / file).read_text(encoding="utf-8"))
        assert test in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}, (file, test)
