"""Tests that every front end passes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import SkipTest

import numpy as np

from cyclecast.device import Device
from cyclecast.errors import CyclecastError
from cyclecast.frontend import FrontEnd, load, random_values
from cyclecast.testing._suite import Suite


class FrontEndSuite(Suite):
    """Tests of a front end: `accepts`, `inputs`, `load`, `reference`."""

    kind = "front end"

    def subject(self) -> FrontEnd:
        """The front end."""
        raise NotImplementedError("make the front end in subject()")

    def source(self) -> Any:
        """A source that the front end reads: a path, or an object in memory."""
        raise SkipTest("there is no source to read; give one with --source, or in source()")

    def device(self) -> Device:
        """The device that gives the bits of quantisation."""
        return Device.load("isaac")

    def test_it_accepts_its_own_sources_alone(self) -> None:
        """The front end accepts its source and no other path."""
        subject = self.subject()
        assert not subject.accepts(Path("no such file.of-no-format")), "it accepts a path of no format"
        assert not subject.accepts(object()), "it accepts any object"
        assert subject.accepts(self.source()), "it does not accept its own source"

    def test_it_names_its_runtime(self) -> None:
        """The reference runtime has a name, for messages."""
        assert self.subject().runtime, "its runtime has no name"

    def test_the_source_becomes_a_network(self) -> None:
        """The network has at least one workload."""
        network = load(self.source(), self.device(), front_ends=[self.subject()])
        assert network.members, "no workload is left for the device; are its products of integers, or quantised?"

    def test_the_reference_answers_every_sample(self) -> None:
        """The reference returns a dictionary of arrays per sample, with equal values on every call."""
        subject, source = self.subject(), self.source()
        random, inputs = np.random.default_rng(0), subject.inputs(source, {}).items()
        samples = [{name: random_values(random, *what) for name, what in inputs} for _ in range(2)]
        first, second = subject.reference(source, samples), subject.reference(source, samples)
        assert len(first) == 2, f"{len(first)} answers for 2 samples"
        for one, other in zip(first, second, strict=True):
            assert one, "a sample has no outputs"
            for name, value in one.items():
                assert isinstance(value, np.ndarray), f"output {name} is no array"
                np.testing.assert_array_equal(value, other[name], f"output {name} has other values the second time")

    def test_a_damaged_file_is_an_error_in_a_line(self) -> None:
        """An empty file raises a `CyclecastError`, nothing else."""
        source = self.source()
        if not isinstance(source, Path):
            raise SkipTest("its source is no file")
        with TemporaryDirectory() as folder:
            empty = Path(folder) / source.name
            empty.write_bytes(b"")
            try:
                load(empty, self.device(), front_ends=[self.subject()])
            except CyclecastError:
                return
            except Exception as error:
                raise AssertionError(f"an empty file raises {type(error).__name__}; it must be a ModelError") from error
        raise AssertionError("an empty file is a network")
