"""Whole networks in the arrays of whole chips."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cyclecast.device import Device, Dynamic
from cyclecast.energy import energy
from cyclecast.errors import FitError, OptionError
from cyclecast.mapspace import default_mapping
from cyclecast.network import Network, Operator
from cyclecast.placement import Placement, Told, next_changes, place, system
from cyclecast.placement._pareto_mappings import least_arrays, pareto_mappings
from cyclecast.timing import Analytical
from cyclecast.units import Time
from placed import Build, attention, blocks, network, placed, product, resnet18, vgg16

PLANS = Path(__file__).parents[2] / "shared" / "data" / "pimcomp_plans.json"
"""Plans of PIMCOMP, beside the project."""
ISAAC, ISAAC16 = Device.load("isaac"), Device.load("isaac16")
SMALL = ISAAC.vary_all({"levels.pe.count": 2, "array.write.arrays": 2, "network.rows": 1, "network.cols": 2})


def three_layers() -> Network:
    build = Build()
    first = build.conv([], 16, 8, 32, 3)
    second = build.conv([first], 16, 32, 64, 3)
    build.dense([second], 16 * 16 * 64, 10)
    return network("three", build.operators)


class TestIsaac:
    """Counts of Shafiee et al., ISCA 2016, with 16-bit weights and inputs."""

    def test_a_chip_holds_63_mebibytes_of_weights(self) -> None:
        weights = ISAAC16.arrays * ISAAC16.word_lines_per_array * ISAAC16.filters_per_array
        assert 2 * weights == 63 * 2**20

    def test_a_first_layer_that_keeps_up_with_one_pixel_is_replicated_50176_times(self) -> None:
        """Section V: "the first layer has to be replicated more than 50K times"."""
        build = Build()
        first = build.conv([], 224, 3, 64, 3, bits=16)
        whole = system(ISAAC16, 20)
        workload = build.operators[first].workload
        ways = pareto_mappings(workload, whole, Analytical(), whole.arrays, default_mapping(workload, ISAAC16))
        assert ways is not None
        one_step = ways.mappings[-1]
        assert (one_step.temporal.pixel, one_step.replicas, one_step.arrays) == (1, 50176, 4 * 50176)

    def test_vgg16_takes_five_chips(self) -> None:
        """7,192 arrays for its convolutions, 60,384 for its dense layers."""
        operators = vgg16(16).operators
        held = [least_arrays(operator.workload, ISAAC16) for operator in operators]
        assert (sum(held[:13]), sum(held[13:])) == (7192, 60384)
        found = placed(vgg16(16), ISAAC16, chips=None)
        assert found.chips == 5
        assert found.is_resident
        assert found.limit.what == "workload"
        assert all(bound.time <= found.interval for bound in found.bounds)

    def test_resnet18_beats_what_was_published_for_this_chip(self) -> None:
        """PIMCOMP (Sun et al., DAC 2023) gives 0.414 ms and 1.95 ms for one chip, with an evaluator of its own."""
        found = placed(resnet18(16), ISAAC16)
        assert found.interval < Time.parse("0.414 ms")
        assert found.latency < Time.parse("1.95 ms")


@pytest.fixture(scope="module")
def resident() -> Placement:
    return placed(three_layers(), ISAAC)


class TestResident:
    def test_sites_hold_their_mappings(self, resident: Placement) -> None:
        assert resident.is_resident
        for stage in resident.stages:
            assert stage.site.arrays == stage.mapping.arrays
            assert stage.mapping.passes == 1
        assert resident.arrays <= resident.chip.arrays
        assert 0 < resident.utilisation <= 1

    def test_the_interval_is_the_longest_limit(self, resident: Placement) -> None:
        (segment,) = resident.segments
        assert resident.interval == segment.period == resident.chip_limit.time
        assert resident.interval >= max(stage.busy for stage in resident.stages)
        assert all(bound.time <= resident.interval for bound in resident.bounds)

    def test_what_is_tuned_for_its_arrays_is_no_slower(self, resident: Placement) -> None:
        assert resident.independent is not None
        assert resident.interval <= resident.independent
        assert resident.gain is not None
        assert resident.gain >= 1

    def test_the_front_has_no_point_that_another_beats(self, resident: Placement) -> None:
        points = [(p.interval.femtoseconds, p.latency.femtoseconds, p.energy, p.arrays) for p in resident.front]
        values = [(a, b, energy.attojoules, d) for a, b, energy, d in points if energy]
        assert len(values) == len(points) > 3
        for one in values:
            others = [other for other in values if other != one]
            assert not any(all(a <= b for a, b in zip(other, one, strict=True)) for other in others)

    @pytest.mark.parametrize(
        ("objective", "field"), [("latency", "latency"), ("energy", "energy"), ("arrays", "arrays")]
    )
    def test_objectives(self, resident: Placement, objective: str, field: str) -> None:
        found = placed(three_layers(), ISAAC, objective=objective)
        assert getattr(found, field) <= getattr(resident, field)
        assert getattr(found, field) == min(getattr(point, field) for point in found.front)

    def test_energy_is_that_of_its_parts(self, resident: Placement) -> None:
        assert resident.energy is not None
        assert resident.energy.attojoules == -(-sum(each.amount for each in resident.spent) // 1)
        conversions = sum(each.amount for each in resident.spent if each.component == "adc")
        alone = sum(
            part.amount.attojoules
            for stage in resident.stages
            for part in energy(stage.mapping, resident.device, stage.timing).shares
            if part.component == "adc"
        )
        assert conversions == alone

    def test_every_kernel_has_a_mapping(self, resident: Placement) -> None:
        assert set(resident.mappings) == {member.kernel for member in resident.network.members}
        assert resident.wear is None

    def test_more_chips_are_no_slower(self, resident: Placement) -> None:
        found = placed(three_layers(), ISAAC, chips=2)
        assert found.chips == 2
        assert found.device.arrays == 2 * ISAAC.arrays
        assert found.segments[0].period <= resident.interval or found.limit.what != "workload"

    def test_the_same_again(self, resident: Placement) -> None:
        assert placed(three_layers(), ISAAC) == resident

    def test_what_helps_is_what_limits(self, resident: Placement) -> None:
        found = next_changes(resident)
        assert found
        assert found[0].interval_saved > Time(0) or found[0].latency_saved > Time(0)
        assert [change.interval for change in found] == sorted(change.interval for change in found)

    def test_a_notebook_shows_a_table(self, resident: Placement) -> None:
        text = resident._repr_html_()
        assert text.count("<tr>") == 1 + len(resident.stages)
        assert "-&gt; 32" in text

    def test_nothing_is_known_of_the_energy_of_a_device_without_components(self) -> None:
        said: dict[str, Any] = ISAAC.to_json()
        levels = [
            {key: value for key, value in each.items() if key not in ("components", "units")} for each in said["levels"]
        ]
        del said["components"]
        bare = Device.from_json(said | {"levels": levels})
        found = placed(three_layers(), bare)
        assert found.energy is None
        assert found.spent == ()
        assert all(point.energy is None for point in found.front)


class TestPlans:
    """Replicas and budgets from outside."""

    def test_a_plan_is_placed_as_it_is(self) -> None:
        found = placed(three_layers(), ISAAC, replicas=[8, 4, 1])
        assert [stage.mapping.replicas for stage in found.stages] == [8, 4, 1]
        kernels = [operator.kernel for operator in three_layers().operators]
        by_name = placed(three_layers(), ISAAC, replicas=dict(zip(kernels, (8, 4, 1), strict=True)))
        by_place = placed(three_layers(), ISAAC, replicas={"0": 8, "1": 4, "2": 1})
        assert by_name.segments == by_place.segments == found.segments

    def test_with_as_many_arrays_ours_is_no_worse(self) -> None:
        theirs = placed(three_layers(), ISAAC, replicas=[16, 16, 1])
        for objective in ("interval", "latency"):
            ours = placed(three_layers(), ISAAC, arrays=theirs.arrays, objective=objective)
            assert ours.arrays <= theirs.arrays
            assert getattr(ours, objective) <= getattr(theirs, objective)

    @pytest.mark.parametrize(
        ("replicas", "message"),
        [
            ([1, 1], r"plan: 2 numbers of replicas, three has 3 operators on arrays"),
            ({"conv9": 1}, r"plan: no operator 'conv9'"),
            ({"0": 1}, r"plan: nothing about operator 1"),
            ([0, 1, 1], r"operator 0 .*: 0 replicas, 1 to 256 are possible"),
            ([257, 1, 1], r"257 replicas"),
            ([1.5, 1, 1], r"1.5 replicas, they are whole numbers"),
        ],
    )
    def test_a_plan_of_another_network(self, replicas: object, message: str) -> None:
        with pytest.raises(OptionError, match=message):
            placed(three_layers(), ISAAC, replicas=replicas)

    def test_a_plan_that_does_not_fit(self) -> None:
        with pytest.raises(FitError, match=r"\d+ arrays for the plan, there are 100; try fewer replicas"):
            placed(three_layers(), ISAAC, replicas=[8, 4, 1], arrays=100)

    @pytest.mark.skipif(not PLANS.exists(), reason=f"{PLANS} is not there")
    def test_a_plan_of_pimcomp_is_no_better(self) -> None:
        plan = json.loads(PLANS.read_text(encoding="utf-8"))["plans"][3]
        theirs = placed(resnet18(16), ISAAC16, replicas=plan["replicas"])
        ours = placed(resnet18(16), ISAAC16, arrays=theirs.arrays)
        assert ours.interval <= theirs.interval


@cache
def turns(**options_: int) -> Placement:
    """A network of several times the arrays of SMALL."""
    return placed(blocks(), SMALL, **options_)


class TestSegments:
    def test_what_does_not_fit_takes_turns(self) -> None:
        found = turns()
        assert not found.is_resident
        assert len(found.segments) > 1
        assert all(segment.arrays <= SMALL.arrays for segment in found.segments)
        whole = sum((s.write + s.latency for s in found.segments), Time(0))
        assert found.latency == whole
        assert sorted(stage.operator for stage in found.stages) == list(range(len(blocks().operators)))
        assert found.wear is not None
        assert found.wear.years_at_one > found.wear.years

    def test_a_batch_shares_the_writing(self) -> None:
        one, many = turns(), turns(batch=16)
        assert many.interval < one.interval
        assert one.limit.what == "write"
        assert placed(blocks(), SMALL, batch=1000).limit.what != "write"
        assert many.latency > one.latency
        assert many.wear is not None
        assert one.wear is not None
        assert many.wear.years_at_one > one.wear.years_at_one

    def test_writing_beside_computing_is_no_slower(self) -> None:
        at_once = placed(blocks(), SMALL.vary("array.write.while_computing", True))
        assert at_once.interval <= turns().interval

    def test_slower_writing_never_helps(self) -> None:
        pulses = ("1 ns", "10 ns", "100 ns", "1 us")
        found = [placed(blocks(), SMALL.vary("array.write.pulse", pulse)).interval for pulse in pulses]
        assert found == sorted(found)

    @pytest.mark.parametrize(("pulse", "resident"), [("4 ps", False), ("40 ns", True)])
    def test_writing_again_pays_where_it_is_quick(self, pulse: str, resident: bool) -> None:
        found = placed(blocks(), ISAAC.vary("array.write.pulse", pulse), objective="latency")
        assert found.is_resident == resident

    def test_a_layer_larger_than_the_chip_takes_turns_with_itself(self) -> None:
        build = Build()
        build.dense([build.conv([], 8, 8, 64, 3)], 4096, 4096)
        found = placed(network("large", build.operators), SMALL)
        assert found.stages[-1].mapping.passes > 1
        assert found.segments[-1].write > Time(0)

    def test_weights_that_stay_or_nothing(self) -> None:
        never = SMALL.vary("array.write.during_inference", False)
        fitting = {m.kernel: default_mapping(m.workload, SMALL) for m in blocks().members}
        with pytest.raises(FitError, match=r"\d+ arrays for all weights, there are 192, and none .*; try 2 chips"):
            place(blocks(), never, fitting)


class TestDynamic:
    def test_the_host_multiplies_unless_said_otherwise(self) -> None:
        found = placed(attention(), ISAAC)
        assert found.dynamic is Dynamic.HOST
        assert {stage.operator for stage in found.stages}.isdisjoint({3, 4})
        assert [cost.operator for cost in found.dynamic_costs] == [3, 4]

    def test_arrays_write_one_operand_every_time(self) -> None:
        host, arrays = placed(attention(), ISAAC), placed(attention(), ISAAC, dynamic="arrays")
        written = {stage.operator: stage for stage in arrays.stages}
        for operator in (3, 4):
            stage = written[operator]
            assert stage.busy > Time(sum(p.time.femtoseconds for p in stage.timing.phases if p.name == "compute"))
        assert arrays.host + sum((cost.host for cost in arrays.dynamic_costs), Time(0)) == host.host
        assert any(limit.what == "write" for limit in arrays.segments[0].limits)
        assert arrays.wear is not None
        assert arrays.wear.writes == 1

    def test_what_arrays_do_not_hold_is_the_hosts(self) -> None:
        large = attention(tokens=1024, width=4096, heads=1)
        found = placed(large, ISAAC.vary_all({"levels.pe.count": 8, "array.write.arrays": 8}), dynamic="arrays")
        assert {cost.arrays for cost in found.dynamic_costs} == {0}
        assert {stage.operator for stage in found.stages}.isdisjoint({3, 4})

    def test_a_device_says_who(self) -> None:
        assert placed(attention(), ISAAC.vary("dynamic", "arrays")).dynamic is Dynamic.ARRAYS


def test_progress_says_what_is_looked_at() -> None:
    told = list[Told]()
    found = placed(three_layers(), ISAAC, progress=told.append)
    assert found == placed(three_layers(), ISAAC)
    parts = list(dict.fromkeys(each.part for each in told))
    assert parts == ["operators", "pipelines", "operators as tuned", "pipelines as tuned", "segments", "simulations"]
    for part in parts:
        last = [each for each in told if each.part == part][-1]
        assert last.done == last.whole >= 1


@pytest.mark.parametrize(
    ("options_", "message"),
    [
        ({"objective": "speed"}, r"objective: 'speed', one of interval, latency, energy, arrays"),
        ({"batch": 0}, r"0 images in a batch"),
        ({"chips": 0}, r"0 chips"),
        ({"dynamic": "gpu"}, r"dynamic: 'gpu', one of host, arrays"),
        ({"timing": "fast"}, r"fast"),
    ],
)
def test_bad_options(options_: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        placed(three_layers(), ISAAC, **options_)


def test_more_chips_than_anybody_has() -> None:
    with pytest.raises(FitError, match=r"91,244 chips for all weights, there are 1024 at most; try a number of chips"):
        placed(resnet18(), Device.load("tiny"), chips=None)


def test_nothing_on_arrays() -> None:
    only = network("products", [Operator("", product(1, 4, 4, 4), (1, 4), ())])
    with pytest.raises(OptionError, match=r"products: there is nothing to place, .*: the host multiplies product 100%"):
        placed(only, ISAAC)


def test_levels_with_too_many_ways_are_not_laid_out() -> None:
    """Then every operator has the chip to itself, with its own mapping."""
    wide = ISAAC.vary_all({"levels.cu.count": 500, "levels.array.count": 500, "levels.pe.count": 1})
    for chips in (1, None):
        found = placed(three_layers(), wide, chips=chips)
        assert len(found.segments) == 3


def test_a_network_without_operators() -> None:
    with pytest.raises(OptionError, match="there is nothing to place"):
        place(Network("none", (), (), None), ISAAC, {})
    members = three_layers().members
    with pytest.raises(OptionError, match="it says nothing about its operators"):
        place(Network("old", members, (), None), ISAAC, {})
