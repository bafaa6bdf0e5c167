"""TFLite operators one by one: as LiteRT computes them, or refused in a line; some here, all in the long run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
pytest.importorskip("tflite", reason="tflite is not installed")
from cyclecast.frontend.readers._tflite_explicit import TAKEN
from tflite_cases import CASES
from tflite_operators import REFUSED, RIGHT, Outcome, outcomes

pytestmark = [pytest.mark.tvm, pytest.mark.filterwarnings("ignore")]

PARTS = 116
REFUSALS = {
    r"node '\w+' \(\w+\): activation [45] is fused, LiteRT leaves it out": "ADD CONV_2D",
    r"node '\w+' \(\w+\): fusedActivationFunction is 1, it must be 0": "CONCATENATION",
    r"node '\w+' \(\w+\): batchDims is 1, it must be 0": "GATHER",
    r"node '\w+' \(\w+\): offset is True, it must be False": "STRIDED_SLICE",
    r"node '\w+' \(\w+\): alignCorners and halfPixelCenters are both set, only one may be": "RESIZE_NEAREST_NEIGHBOR",
    r"node '\w+' \(\w+\): its weights are computed, they must be constants": "TRANSPOSE_CONV",
    r"node '\w+' \(\w+\): it cannot be imported, TVM does not take its types": "FULLY_CONNECTED QUANTIZE",
    r"node '\w+' \(\w+\): tensor '\w+' is of type INT32, it must hold real numbers": "MEAN POW",
    r"node '\w+' \(\w+\): tensor '\w+' is quantised as U?INT\d+, LiteRT computes other values than its scale gives": (
        "EXP FLOOR_DIV FLOOR_MOD GELU LOG NEG PRELU REDUCE_PROD RSQRT SCATTER_ND"
    ),
    r"operators \w+ \(1: \w+\), TVM's importer does not know them": (
        "FAKE_QUANT MATRIX_DIAG NON_MAX_SUPPRESSION_V4 RFFT2D UNIQUE WHERE"
    ),
}
"""All that is refused, of which operators: every other case of CASES must be right."""
EACH = [pytest.param(part, marks=pytest.mark.long) if part else part for part in range(PARTS)]


@pytest.mark.parametrize("part", EACH)
def test_right_or_refused(part: int) -> None:
    found = list(outcomes(part, PARTS))
    assert [each for each in found if each.kind not in (RIGHT, REFUSED)] == []
    refused = [each for each in found if each.kind == REFUSED]
    assert [each for each in refused if not is_a_known_refusal(each)] == []


def is_a_known_refusal(outcome: Outcome) -> bool:
    return any(
        outcome.operator in operators.split() and re.fullmatch(rf".+: {reason}; try .+", outcome.said)
        for reason, operators in REFUSALS.items()
    )


def test_all_that_is_taken_has_a_case() -> None:
    assert {case.operator for case in CASES} >= TAKEN


def test_the_page_lists_them() -> None:
    page = (Path(__file__).parents[1] / "docs" / "networks.md").read_text(encoding="utf-8")
    listed = page.partition("Taken are\n\n")[2].partition(".")[0].split()
    assert listed == sorted(TAKEN)
