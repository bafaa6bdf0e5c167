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
from cyclecast.testing._devices import DeviceSuite
from cyclecast.testing._front_ends import FrontEndSuite
from cyclecast.testing._mutation_rules import MutatorSuite
from cyclecast.testing._reports import ReportSuite
from cyclecast.testing._rules import RuleSuite
from cyclecast.testing._runners import RunnerSuite
from cyclecast.testing._strategies import StrategySuite
from cyclecast.testing._suite import Suite
from cyclecast.testing._timing_models import TimingModelSuite

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
