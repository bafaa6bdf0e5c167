"""ONNX's own node tests: right, or refused in one line; some of them here, all in `make test-long`."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from onnx_nodes import PAGE, PARTS, REFUSED, RIGHT, Outcome, cases, outcomes

pytestmark = [pytest.mark.tvm, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

EACH = [pytest.param(part, marks=pytest.mark.long) if part else part for part in range(PARTS)]


@pytest.mark.parametrize("constants", [False, True])
@pytest.mark.parametrize("part", EACH)
def test_right_or_refused(part: int, constants: bool) -> None:
    found = list(outcomes(part, constants))
    assert [each for each in found if each.kind not in (RIGHT, REFUSED)] == []
    assert [each for each in found if each.kind == REFUSED and not re.fullmatch(r".+; try .+", each.said)] == []
    agree_with_the_page(found)


def agree_with_the_page(found: Iterable[Outcome]) -> None:
    for each in found:
        if each.operator:
            right, refused = counts()[each.operator]
            assert right if each.kind == RIGHT else refused, each


def counts() -> dict[str, tuple[int, int]]:
    """By operator: the cases that are right, and those that are refused, as the page says."""
    rows = re.findall(r"\| (\w+) \| (\d+) \| (\d+) \|", PAGE.read_text(encoding="utf-8"))
    return {operator: (int(right), int(refused)) for operator, right, refused in rows}


def test_there_are_many_cases_and_most_are_right() -> None:
    right, refused = map(sum, zip(*counts().values(), strict=True))
    assert len(cases()) > 1400
    assert right > 1.5 * refused
