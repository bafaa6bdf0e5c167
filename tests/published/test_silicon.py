"""Chips that exist: every number of silicon.yaml within its tolerance, and the picture of the README is of these."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from silicon import Measured, measured

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("point", measured(), ids=lambda point: f"{point.chip}: {point.label}")
def test_a_number_is_within_its_tolerance(point: Measured) -> None:
    assert point.basis in ("predicted", "fitted", "calibrated")
    assert point.modelled == pytest.approx(point.published, rel=point.within)


def test_the_picture_is_up_to_date() -> None:
    """`python bench/silicon.py` draws it anew."""
    drawn = runpy.run_path(str(ROOT / "bench" / "silicon.py"))["picture"]()
    assert (ROOT / "docs" / "silicon.svg").read_text(encoding="utf-8") == drawn
