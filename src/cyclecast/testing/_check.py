"""Run the suite of an object without pytest."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import SkipTest

from cyclecast import plugins
from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.testing._devices import DeviceSuite
from cyclecast.testing._front_ends import FrontEndSuite
from cyclecast.testing._mutation_rules import MutatorSuite
from cyclecast.testing._reports import ReportSuite
from cyclecast.testing._rules import RuleSuite
from cyclecast.testing._runners import RunnerSuite
from cyclecast.testing._strategies import StrategySuite
from cyclecast.testing._suite import Suite
from cyclecast.testing._timing_models import TimingModelSuite

SUITES: dict[tuple[str, int], type[Suite]] = {
    ("time", 2): TimingModelSuite,
    ("start", 1): StrategySuite,
    ("apply", 3): MutatorSuite,
    ("apply", 2): RuleSuite,
    ("run", 1): RunnerSuite,
    ("load", 3): FrontEndSuite,
    ("text", 1): ReportSuite,
}
"""Suite by a method of the object and the method's number of arguments."""


class CheckedLaw(NamedTuple):
    """Result of one test of a suite."""

    test: str
    """Name of the test, in words."""
    said: str
    """The failure, or the reason why the test was skipped; empty if it passed."""
    failed: bool


def check(spec: str, device: Device, source: Path | None = None) -> tuple[str, list[CheckedLaw]]:
    """Run the suite for `file.py:Name` or a device; return its kind and all results.

    Rules and runners are tested on `device`, a front end on `source`. Raises `OptionError` if the object matches no
    suite or cannot be created.
    """
    given: dict[str, Any] = {"device": lambda _: device}
    if not plugins.is_in_a_file(spec):
        return DeviceSuite.kind, list(_run(_of(DeviceSuite, {"subject": lambda _: spec})))
    make = partial(plugins.build, "object", spec, {}, device=device)
    suite = _suite_of(spec, make())
    given |= {"subject": lambda _: make()} | ({"source": lambda _: source} if source else {})
    return suite.kind, list(_run(_of(suite, given)))


def _of(suite: type[Suite], given: dict[str, Any]) -> Suite:
    made = type(suite.__name__, (suite,), given)()
    assert isinstance(made, suite)
    return made


def _suite_of(spec: str, subject: object) -> type[Suite]:
    for (method, count), suite in SUITES.items():
        found = getattr(subject, method, None)
        if callable(found) and len(inspect.signature(found).parameters) == count:
            return suite
    known = ", ".join(f"{method} of {count} arguments: {suite.kind}" for (method, count), suite in SUITES.items())
    raise OptionError(spec, "it is no kind of extension", known, "one of these methods")


def _run(suite: Suite) -> Iterator[CheckedLaw]:
    for name, test in inspect.getmembers(suite, inspect.ismethod):
        if name.startswith("test_"):
            words = name.removeprefix("test_").replace("_", " ")
            try:
                test()
            except SkipTest as skipped:
                yield CheckedLaw(words, str(skipped), False)
            except AssertionError as error:
                yield CheckedLaw(words, str(error), True)
            except Exception as error:  # any error of the user's object
                yield CheckedLaw(words, f"it raises {type(error).__name__}: {error}", True)
            else:
                yield CheckedLaw(words, "", False)
