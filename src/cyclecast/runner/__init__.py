"""Runners: they return a time for each candidate, in the place of measurements on a device."""

from __future__ import annotations

from cyclecast.runner._base import Runner, require_runner
from cyclecast.runner._measured import Measured
from cyclecast.runner._timing import TimingRunner
from cyclecast.timing import Failure

__all__ = ["Failure", "Measured", "Runner", "TimingRunner", "require_runner"]
