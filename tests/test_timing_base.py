from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.mapping import Mapping
from cyclecast.timing import (
    Analytical,
    Fixed,
    Phase,
    Poster,
    Role,
    Timing,
    TimingModel,
    identity,
    timing_from_json,
    timing_model,
)
from cyclecast.units import Time
from strategies import device_times, mappings, times

phases = st.builds(Phase, st.sampled_from(["write", "compute", "fill"]), times, st.booleans())
timings = st.builds(Timing, st.lists(phases, min_size=1, max_size=5).map(tuple), device_times)


def nanoseconds(count: int) -> Time:
    return count * Time.parse("1 ns")


def test_hidden_phases_add_nothing() -> None:
    timing = Timing(
        (
            Phase("write", nanoseconds(5)),
            Phase("compute", nanoseconds(30)),
            Phase("input", nanoseconds(9), hidden=True),
        ),
        nanoseconds(10),
    )
    assert timing.total == nanoseconds(35)
    assert timing.cycles == 4  # 3.5, and a started cycle counts
    assert timing.bound == "compute"


@given(timings)
def test_cycles_are_the_total_rounded_up(timing: Timing) -> None:
    assert timing.total <= timing.cycles * timing.cycle < timing.total + timing.cycle


@given(timings)
def test_json_round_trip(timing: Timing) -> None:
    value = json.loads(json.dumps(timing.to_json()))
    assert timing_from_json(value) == timing
    assert value["total_fs"] == sum(phase["fs"] for phase in value["phases"] if not phase["hidden"])
    assert value["cycles"] == timing.cycles


@pytest.mark.parametrize("model", [Analytical(), Poster(), Fixed(7)])
@given(drawn=mappings())
def test_visible_phases_add_up_and_answers_repeat(model: TimingModel, drawn: tuple[Mapping, Device]) -> None:
    mapping, device = drawn
    timing = model.time(mapping, device)
    assert timing.total == sum((phase.time for phase in timing.phases if not phase.hidden), Time(0))
    assert timing.total > Time(0)
    assert timing.cycle == device.array.read
    assert timing == model.time(mapping, device)


@given(mappings(), st.integers(min_value=1, max_value=10**6))
def test_fixed_answers_the_same_for_everything(drawn: tuple[Mapping, Device], cycles: int) -> None:
    timing = Fixed(cycles).time(*drawn)
    assert timing.cycles == cycles
    assert timing.bound == "fixed"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [("analytical", Analytical()), ("poster", Poster()), ("fixed", Fixed(1)), ("fixed:cycles=3", Fixed(3))],
)
def test_models_by_name(spec: str, expected: TimingModel) -> None:
    assert timing_model(spec) == expected


@dataclass(frozen=True)
class Mine:
    speed: int = 1

    def time(self, mapping: Mapping, device: Device) -> Timing:
        return Timing((), device.array.read)


@dataclass(frozen=True)
class Hers:
    speed: int = 1

    def time(self, mapping: Mapping, device: Device) -> Timing:
        return Timing((), 2 * device.array.read)


class NoDataclass:
    def time(self, mapping: Mapping, device: Device) -> Timing:
        return Timing((), device.array.read)


def test_an_object_with_time_is_taken_as_it_is() -> None:
    mine = Mine()
    assert timing_model(mine) is mine


def test_an_object_without_time_is_refused() -> None:
    with pytest.raises(OptionError, match=r"^timing: 3, a timing model has time\(mapping, device\); try a name or"):
        timing_model(3)  # type: ignore[arg-type]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(
        OptionError, match=r"^timing 'postr': no such timing model, there are analytical, event, fixed, poster$"
    ):
        timing_model("postr")


@pytest.mark.parametrize(
    ("one", "other"), [(Mine(1), Mine(2)), (Mine(), Hers()), (Fixed(1), Fixed(2)), (Poster(), Mine())]
)
def test_models_that_may_answer_differently_have_different_identities(one: TimingModel, other: TimingModel) -> None:
    assert identity(one) != identity(other)


def test_equal_models_have_equal_identities() -> None:
    assert identity(Mine(2)) == identity(Mine(2))
    assert " at 0x" not in identity(Mine(2))


def test_a_model_whose_state_is_not_seen_equals_no_other() -> None:
    """Records of such a model must never answer for another instance."""
    assert identity(NoDataclass()) != identity(NoDataclass())


def test_a_helper_of_another_file_is_part_of_a_model(tmp_path: Path) -> None:
    """Records must not outlive a formula that the model only calls."""
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "model.py").write_text(
        "from dataclasses import dataclass\n"
        "from mine.formula import cycles\n"
        "@dataclass\n"
        "class Mine:\n"
        "    def time(self, mapping, device):\n"
        "        return cycles(mapping)\n"
    )

    def asked(formula: str) -> str:
        (package / "formula.py").write_text(f"def cycles(mapping):\n    return {formula}\n")
        program = "from cyclecast.timing import identity; from mine.model import Mine; print(identity(Mine()))"
        command = [sys.executable, "-B", "-c", program]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout

    assert asked("1") == asked("1") != asked("2 + mapping.passes")


def test_a_phase_is_what_its_role_says_whatever_its_name() -> None:
    plain = Timing((Phase("compute", nanoseconds(1)), Phase("latency", nanoseconds(5), role=Role.FILL)), nanoseconds(1))
    ours = Timing((Phase("compute", nanoseconds(1)), Phase("fill", nanoseconds(5), role=Role.FILL)), nanoseconds(1))
    assert plain.of(Role.BUSY) == ours.of(Role.BUSY) == nanoseconds(1)
    assert plain.of(Role.FILL, Role.BUSY) == plain.total


@pytest.mark.parametrize(
    "phase", [Phase("fill", Time(3)), Phase("mine", Time(3), role=Role.WRITE), Phase("a", Time(3))]
)
def test_roles_are_stored(phase: Phase) -> None:
    timing = Timing((phase,), Time(1))
    assert timing_from_json(timing.to_json()) == timing
    assert ("role" in phase.to_json()) == (phase.name != "a")
