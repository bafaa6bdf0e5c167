"""Runners: what answers in the place of a device."""

from __future__ import annotations

from cyclecast.runner._base import Failure, Runner
from cyclecast.runner._timing import TimingRunner

__all__ = ["Failure", "Runner", "TimingRunner"]
