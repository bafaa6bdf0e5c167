"""ONNX's own node tests: right, or refused in one line; a tenth of them here, all in `make test-long`."""

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
    assert sum(each.kind == RIGHT for each in found) > 0.5 * len(found)
    agree_with_the_page(found)


def agree_with_the_page(found: Iterable[Outcome]) -> None:
    rows = dict(re.findall(r"\| (\w+) \| (\d+ \| \d+) \|", PAGE.read_text(encoding="utf-8")))
    for each in found:
        if each.operator:
            right, refused = map(int, rows[each.operator].split(" | "))
            assert right if each.kind == RIGHT else refused, each


def test_there_are_many_cases() -> None:
    assert len(cases()) > 1400
