"""The simulation runner times the module alone, and one failing candidate does not affect the others."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tvm.ir import IRModule
from tvm.script import from_source

from cyclecast.device import Device
from cyclecast.errors import BehaviourError
from cyclecast.mapping import Mapping
from cyclecast.mapspace import default_mapping, grant, requests
from cyclecast.runner import Failure, TimingRunner
from cyclecast.schedule import as_module, decided_schedule, lowered, lowered_function, read
from cyclecast.timing import Analytical, Fixed, Timing
from kernels import conv, dense

pytestmark = pytest.mark.tvm

TINY = Device.load("tiny")
KERNEL = conv(size=(9, 9), channels=2, filters=2, kernel=(2, 2))
DEFAULT = default_mapping(KERNEL.workload, TINY)
RUNNER = TimingRunner(TINY, Analytical(), read)


def decided(mapping: Mapping = DEFAULT) -> Any:
    return decided_schedule(KERNEL.function, TINY, mapping).mod


def with_half_the_replicas(mapping: Mapping) -> Mapping:
    wanted = requests(mapping)
    level = next(name for name in wanted if name.endswith(".pixel") and wanted[name] % 2 == 0)
    return grant(mapping.workload, TINY, {**wanted, level: wanted[level] // 2})


def test_half_the_replicas_take_longer_as_the_lowered_loops_alone_say() -> None:
    halved = with_half_the_replicas(DEFAULT)
    assert halved.replicas * 2 == DEFAULT.replicas
    modules = [lowered(decided(mapping), TINY) for mapping in (DEFAULT, halved)]
    for module in modules:
        notes = {"cim.workload", "cim.device", "cim.kernel", "cim.implementation"}
        assert set(re.findall(r'"(cim\.[a-z_.]+)":', module.script())) == {"cim.loop"} | notes
    whole, half = RUNNER.run(modules)
    assert isinstance(whole, Timing)
    assert isinstance(half, Timing)
    assert half.total > whole.total
    assert (whole, half) == (Analytical().time(DEFAULT, TINY), Analytical().time(halved, TINY))


def test_loops_are_believed_more_than_what_they_were_made_from() -> None:
    """Fewer replicas by editing extents: the runner sees the difference, so nothing else carries the mapping."""
    text = lowered(decided(), TINY).script()
    for loop, extent in (("array.pixel", 1), ("time.pixel", DEFAULT.temporal.pixel * DEFAULT.at("array").pixel)):
        text, times = re.subn(
            rf'T\.int64\(\d+\)(, annotations=\{{"cim\.loop": "{loop}"\}})', rf"T.int64({extent})\1", text
        )
        assert times == 1
    zeroed = f"T.int64({DEFAULT.at('array').pixel}), T.int64({DEFAULT.temporal.pixel}), T.int64({DEFAULT.filters})):"
    assert text.count(zeroed) == 1  # the loops that zero the output buffer go along
    text = text.replace(zeroed, f"T.int64(1), T.int64({extent}), T.int64({DEFAULT.filters})):")
    factors = replace(DEFAULT.at("array"), pixel=1)
    levels = tuple(replace(level, factors=factors) if level.level == "array" else level for level in DEFAULT.levels)
    fewer = replace(DEFAULT, levels=levels, temporal=replace(DEFAULT.temporal, pixel=extent))
    assert DEFAULT.at("array").pixel > 1
    assert RUNNER.run([from_source(text)]) == [Analytical().time(fewer, TINY)]


def nothing_to_read() -> Any:
    return as_module(KERNEL.function)


def two_functions() -> Any:
    function = lowered_function(KERNEL.function, DEFAULT)
    return IRModule({name: function.with_attr("global_symbol", name) for name in ("a", "b")})


def a_wrong_extent() -> Any:
    text = lowered(decided(), TINY).script()
    return from_source(re.sub(r'T\.int64\(\d+\)(, annotations=\{"cim\.loop": "time.pixel"\})', r"T.int64(97)\1", text))


def an_unknown_level() -> Any:
    return from_source(lowered(decided(), TINY).script().replace('"pe.', '"core.'))


def a_tile_too_large() -> Any:
    large = TINY.vary_all({"array.rows": 64, "array.active_rows": 64})
    kernel = dense(batch=1, features=64, filters=2)
    return lowered(decided_schedule(kernel.function, large, default_mapping(kernel.workload, large)).mod, large)


def sixteen_bits() -> Any:
    wide = TINY.vary_all({"bits.activation": 16, "bits.weight": 16})
    kernel = dense(batch=1, features=4, filters=2, kind="int16")
    return decided_schedule(kernel.function, wide, default_mapping(kernel.workload, wide)).mod


REASONS = {
    nothing_to_read: "module: neither decisions nor lowered loops",
    two_functions: "module: 2 functions to read, there must be exactly one",
    a_wrong_extent: "temporal factor 97",
    an_unknown_level: "the device has ['pe', 'cu', 'array']",
    a_tile_too_large: "64 word lines, an array has 8; try a smaller row tile",
    sixteen_bits: "16-bit inputs, the device takes 8 bits",
}


@pytest.mark.parametrize("broken", REASONS, ids=lambda broken: broken.__name__)
def test_a_candidate_that_cannot_be_read_fails_alone(broken: Any) -> None:
    halved = with_half_the_replicas(DEFAULT)
    before, failed, after = RUNNER.run([decided(), broken(), decided(halved)])
    assert isinstance(failed, Failure)
    assert REASONS[broken] in failed.reason
    assert "\n" not in failed.reason
    assert (before, after) == (Analytical().time(DEFAULT, TINY), Analytical().time(halved, TINY))


def test_an_empty_batch_has_no_answers() -> None:
    assert RUNNER.run([]) == []


def test_the_runners_model_answers() -> None:
    assert TimingRunner(TINY, Fixed(cycles=3), read).run([decided()]) == [Fixed(cycles=3).time(DEFAULT, TINY)]


@dataclass(frozen=True)
class Refuses:
    error: Exception

    def time(self, mapping: Mapping, device: Device) -> Timing:
        raise self.error


def test_a_model_that_refuses_is_a_failure() -> None:
    model = Refuses(BehaviourError("model", "no answer"))
    assert TimingRunner(TINY, model, read).run([decided()]) == [Failure("model: no answer")]


def test_a_model_with_a_mistake_loses_the_candidate_and_says_so() -> None:
    (failure,) = TimingRunner(TINY, Refuses(ZeroDivisionError("by nothing")), read).run([decided()])
    assert failure == Failure("it raises ZeroDivisionError: by nothing")


@dataclass(frozen=True)
class Answers:
    value: Any

    def time(self, mapping: Mapping, device: Device) -> Timing:
        return self.value  # type: ignore[no-any-return]


@pytest.mark.parametrize("value", [None, 3, 2.5, float("nan"), "1 us"], ids=repr)
def test_an_answer_that_is_no_timing_loses_the_candidate(value: object) -> None:
    (failure,) = TimingRunner(TINY, Answers(value), read).run([decided()])
    assert isinstance(failure, Failure)
    assert failure.reason == f"it answers {value!r}; it must be a Timing of whole femtoseconds"
