"""Limits on the size of files and functions."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
FILES = sorted(file for folder in ("src", "tests", "examples", "bench") for file in (ROOT / folder).rglob("*.py"))
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60
MEDIAN_OF_FUNCTIONS = 10


def lengths(file: Path) -> dict[str, int]:
    """The lines of every function, by its name and first line."""
    return {
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_files_are_short() -> None:
    lines = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert len(lines) > 50
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_functions_are_short() -> None:
    found = {name: length for file in FILES for name, length in lengths(file).items()}
    assert {name: length for name, length in found.items() if length > MOST_LINES_OF_A_FUNCTION} == {}


def test_most_functions_of_the_package_are_very_short() -> None:
    found = [length for file in FILES if (ROOT / "src") in file.parents for length in lengths(file).values()]
    assert median(found) <= MEDIAN_OF_FUNCTIONS
