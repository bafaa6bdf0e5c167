"""TFLite operators one by one: as LiteRT computes them, or refused in a line; some here, all in the long run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
pytest.importorskip("tflite", reason="tflite is not installed")
from cyclecast.frontend.readers._tflite_explicit import TAKEN
from tflite_cases import CASES
from tflite_operators import REFUSED, RIGHT, outcomes

pytestmark = [pytest.mark.tvm, pytest.mark.filterwarnings("ignore")]

PARTS = 58
EACH = [pytest.param(part, marks=pytest.mark.long) if part else part for part in range(PARTS)]


@pytest.mark.parametrize("part", EACH)
def test_right_or_refused(part: int) -> None:
    found = list(outcomes(part, PARTS))
    assert [each for each in found if each.kind not in (RIGHT, REFUSED)] == []
    said = r".+: (node '[^']+' \(\w+\): .+|operators \w+ \(1: \w+\), .+|an operator cannot be \w+, .+); try .+"
    assert [each for each in found if each.kind == REFUSED and not re.fullmatch(said, each.said)] == []
    assert sum(each.kind == RIGHT for each in found) > 0.7 * len(found)


def test_all_that_is_taken_has_a_case() -> None:
    assert {case.operator for case in CASES} >= TAKEN


def test_the_page_lists_them() -> None:
    page = (Path(__file__).parents[1] / "docs" / "networks.md").read_text(encoding="utf-8")
    listed = page.partition("Taken are\n\n")[2].partition(".")[0].split()
    assert listed == sorted(TAKEN)
