"""Test suites for extensions: timing models, strategies, rules, runners, front ends, reports, devices.

Subclass a suite in a test file, and pytest finds its tests:

    from cyclecast.testing import TimingModelSuite

    class TestMine(TimingModelSuite):
        def subject(self):
            return Mine()

`cyclecast devkit check ./mine.py:Mine` runs the matching suite without a test file.
"""

from __future__ import annotations

from cyclecast.testing._check import CheckedLaw, check
from cyclecast.testing._networks import FrontEndSuite, ReportSuite
from cyclecast.testing._schedules import DeviceSuite, RuleSuite, RunnerSuite
from cyclecast.testing._suites import MutatorSuite, StrategySuite, Suite, TimingModelSuite

__all__ = [
    "CheckedLaw",
    "DeviceSuite",
    "FrontEndSuite",
    "MutatorSuite",
    "ReportSuite",
    "RuleSuite",
    "RunnerSuite",
    "StrategySuite",
    "Suite",
    "TimingModelSuite",
    "check",
]
