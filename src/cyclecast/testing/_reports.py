"""Tests that every form of a report passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cyclecast.device import Device
from cyclecast.frontend import load
from cyclecast.report import Report, report_info
from cyclecast.testing._samples import dense_program
from cyclecast.testing._suite import Suite
from cyclecast.workflow.placing import place
from cyclecast.workflow.tuning import tune


class ReportSuite(Suite):
    """Tests of a report format: `suffix` and `text`."""

    kind = "report"

    def subject(self) -> Report:
        """The format."""
        raise NotImplementedError("make the report in subject()")

    def infos(self) -> list[dict[str, Any]]:
        """`report_info` of one layer on two devices; the second is compared with the first."""
        placed = []
        for name in ("isaac", "hermes64"):
            device = Device.load(name)
            tuned = tune(load(dense_program(), device), device, strategy="random", trials=1)
            placed.append(report_info(place(tuned)))
        return [placed[0] | {"against": None}, placed[1] | {"against": placed[0]}]

    def test_the_suffix_has_a_dot(self) -> None:
        """The suffix is a suffix of file names."""
        suffix = self.subject().suffix
        assert Path(f"report{suffix}").suffix == suffix, f"the suffix is {suffix!r}; it must be like .csv"

    def test_it_writes_the_same_values_as_the_same_text(self) -> None:
        """The text is not empty, equal on every call, and the values do not change."""
        for info in self.infos():
            before = json.dumps(info, default=str)
            text = self.subject().text(info)
            assert isinstance(text, str), f"it writes {type(text).__name__}; it must be a text"
            assert text, "it writes nothing"
            assert text == self.subject().text(info), "the same values become two texts"
            assert json.dumps(info, default=str) == before, "it changes the values that it is given"
