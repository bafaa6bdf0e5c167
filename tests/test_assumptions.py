"""Each assumption has one number, one row on one page, and says what it does to the result; the code cites no other."""

from __future__ import annotations

import re
from pathlib import Path

from cyclecast.report._assumptions import PLACEMENT

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "assumptions"
ROW = re.compile(r"^\| A(\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
TABLES = {page: ROW.findall(page.read_text(encoding="utf-8")) for page in sorted(PAGES.glob("*.md"))}


def spelled(numbers: str) -> set[int]:
    """The numbers of a list such as "A1, A7 to A9"."""
    ends = re.findall(r"A(\d+)(?: to A(\d+))?", numbers)
    return {number for first, last in ends for number in range(int(first), int(last or first) + 1)}


def test_every_number_is_given_once() -> None:
    numbers = sorted(int(row[0]) for rows in TABLES.values() for row in rows)
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_row_is_one_sentence_and_its_effect_another() -> None:
    for rows in TABLES.values():
        for number, assumption, effect, models in rows:
            for text in (assumption, effect):
                assert re.fullmatch(r"[A-Z0-9].*\.", text), number
                assert not re.search(r"\. [A-Z]", text), number
            assert models


def test_the_index_lists_the_numbers_of_each_page() -> None:
    index = (PAGES / "index.md").read_text(encoding="utf-8")
    listed = {page: spelled(numbers) for page, numbers in re.findall(r"\]\((\w+\.md)\) \| (.+?) \|", index)}
    assert listed == {page.name: {int(row[0]) for row in rows} for page, rows in TABLES.items() if rows}


def test_the_code_cites_numbers_that_there_are() -> None:
    known = {int(row[0]) for rows in TABLES.values() for row in rows}
    for path in (ROOT / "src").rglob("*.py"):
        cited = {int(number) for number in re.findall(r"\bA(\d+)\b", path.read_text(encoding="utf-8"))}
        assert cited <= known, path


def test_assumptions_of_the_report_are_those_of_the_pages() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in TABLES)
    for number, text in PLACEMENT:
        assert f"| {number} | {text} |" in pages
