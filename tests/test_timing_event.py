from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.mapping import Factors, LevelFactors, Mapping
from cyclecast.mapspace import default_mapping, grant
from cyclecast.network import Axis, Kind, Slide, Workload
from cyclecast.timing import Analytical, EventDriven, Simulation, events, product_time, slots, timing_model
from cyclecast.timing._costs import kinds, merge_latency
from cyclecast.timing._event import PHASES, WAITS, census
from cyclecast.timing._stages import plan, product_of
from cyclecast.units import Bandwidth, Frequency, Time
from strategies import decisions, devices, matrix_vector, sketched_mappings, unlimited

ISAAC16 = Device.load("isaac16")
TINY = Device.load("tiny")
EVERYTHING = 10**6
"""A window that no workload here fills."""
short = sketched_mappings().filter(lambda drawn: drawn[0].temporal.pixel <= 500)
"""Mappings of which every token is simulated in no time."""


def total(mapping: Mapping, device: Device, window: int = EVERYTHING, buffers: int = 2) -> int:
    return EventDriven(window, buffers).time(mapping, device).total.femtoseconds


def analytical(mapping: Mapping, device: Device) -> int:
    return Analytical().time(mapping, device).total.femtoseconds


def apart(device: Device) -> Device:
    """The device with ports of their own for inputs and outputs."""
    return device.vary_all({f"levels.{level.name}.shared_port": False for level in device.levels})


@st.composite
def streams(draw: st.DrawFn) -> tuple[Mapping, Device]:
    """Many steps, and ports about as fast as the arrays, so that everything may limit."""
    device = draw(devices())
    small = st.integers(min_value=1, max_value=60)
    pixels, taps = draw(st.integers(min_value=20, max_value=300)), draw(st.integers(min_value=1, max_value=4))
    plain = matrix_vector(draw(small), draw(small), pixels, groups=draw(st.integers(min_value=1, max_value=3)))
    slide = Slide("p", "t", pixels, taps, stride=draw(st.integers(min_value=1, max_value=2)))
    workload = Workload(
        "stream",
        (*plain.axes, Axis("t", taps, Kind.REDUCTION)),
        device.bits.activation,
        device.bits.weight,
        (slide,) if slide.shares else (),
    )
    asked = dict(draw(decisions(device, workload)))
    asked |= {f"{level.name}.pixel": draw(st.integers(min_value=1, max_value=2)) for level in device.levels}
    mapping = grant(workload, device, asked)
    step, ports = product_time(mapping, device), ("input_bandwidth", "output_bandwidth", "merge_bandwidth")
    said = {
        f"levels.{level.name}.{port}": Bandwidth(max(1, draw(st.integers(1, 2000)) * 10**15 // step))
        for level in device.levels
        for port in ports
        if draw(st.booleans())
    }
    return mapping, device.vary_all(dict(said))


class TestIsaac:
    @given(st.integers(min_value=1, max_value=1000))
    def test_one_array_takes_16_n_plus_6_cycles(self, pixels: int) -> None:
        """Shafiee et al., ISCA 2016, figure 4b; sampled or not."""
        workload, device = matrix_vector(128, 16, pixels=pixels, bits=16), unlimited(ISAAC16)
        mapping = grant(workload, device, {"array.pixel": 1, "cu.pixel": 1, "pe.pixel": 1})
        found = EventDriven().simulate(mapping, device)
        assert found.timing.cycles == 16 * pixels + 6
        assert found.error == Time(0)
        assert found.sampled == (pixels > 48)

    def test_the_phases_are_those_of_its_pipeline(self) -> None:
        mapping = grant(matrix_vector(128, 16, bits=16), ISAAC16, {})
        timing = EventDriven().time(mapping, unlimited(ISAAC16))
        shown = {phase.name: str(phase.time) for phase in timing.phases if phase.time > Time(0)}
        # eDRAM read; 16 reads; ADC, 2 of shift-and-add, activation, write-back
        assert shown == {"fill": "100 ns", "compute": "1.6 us", "drain": "500 ns"}

    def test_its_ports_make_full_arrays_wait(self) -> None:
        """96 arrays of a PE with inputs of their own want 24 KB a batch, its eDRAM gives 16 KB: 1.5 times as long."""
        device = ISAAC16.vary("levels.pe.output_bandwidth", None)
        mapping = grant(matrix_vector(128, 16, pixels=96 * 168 * 400, bits=16), device, {})
        assert mapping.spatial("pixel") == device.arrays
        found = EventDriven().simulate(mapping, device)
        assert found.timing.total.ratio(400 * 16 * device.array.read) == pytest.approx(1.5, rel=0.01)
        assert found.stalls["wait input"].ratio(found.timing.total) == pytest.approx(1 / 3, rel=0.01)


class TestAgainstTheAnalyticalModel:
    @settings(max_examples=50)
    @given(sketched_mappings(), st.sampled_from([16, 48]))
    def test_it_is_never_faster(self, drawn: tuple[Mapping, Device], window: int) -> None:
        assert analytical(*drawn) <= total(*drawn, window=window)

    @settings(max_examples=25)
    @given(streams(), st.sampled_from([16, EVERYTHING]))
    def test_it_is_never_faster_on_many_tokens(self, drawn: tuple[Mapping, Device], window: int) -> None:
        assert analytical(*drawn) <= total(*drawn, window=window)

    @settings(max_examples=25)
    @given(streams() | short)
    def test_the_pipeline_is_filled_beside_the_longest_work(self, drawn: tuple[Mapping, Device]) -> None:
        """The last event itself is never before the longest work and the pipeline's fill."""
        mapping, device = drawn[0], apart(drawn[1])
        found = EventDriven(EVERYTHING).simulate(mapping, device)
        last = max((span.end.femtoseconds for span in found.timeline), default=0)
        assert last <= found.timing.total.femtoseconds
        latency = device.pipeline.fill * device.array.read.femtoseconds + merge_latency(mapping, device)
        least = 0
        for kind in kinds(mapping):
            used = dict[str, int]()
            for stage in plan(mapping, device, kind).stages:
                used[stage.resource] = used.get(stage.resource, 0) + stage.busy
            work = kind.steps * product_time(mapping, device)
            least += kind.times * (max(work, *used.values()) + latency)
        assert least <= found.timing.total.femtoseconds

    @settings(max_examples=50)
    @given(short)
    def test_both_agree_where_only_arrays_limit(self, drawn: tuple[Mapping, Device]) -> None:
        """No port or merge limits, and conversions follow the reads, or hide in them and in the last cycles."""
        mapping, device = drawn[0], unlimited(drawn[1])
        read, pipeline = device.array.read.femtoseconds, device.pipeline
        longest = max(conversion for _, _, conversion in slots(mapping, device))
        hidden = longest <= min(read, (pipeline.fill - pipeline.before) * read)
        assume(hidden or not device.array.adc_overlap)
        assert total(mapping, device) == analytical(mapping, device)
        assert total(mapping, device, window=16) == analytical(mapping, device)

    @settings(max_examples=50)
    @given(short)
    def test_hops_of_merging_are_the_same_latency(self, drawn: tuple[Mapping, Device]) -> None:
        mapping, device = drawn[0], unlimited(drawn[1])
        hops = {f"levels.{level.name}.merge_hop": level.merge_hop for level in drawn[1].levels}
        longer = device.vary_all(dict(hops))
        more = mapping.turns * mapping.passes * merge_latency(mapping, longer)
        assert total(mapping, longer) == total(mapping, device) + more

    @settings(max_examples=50)
    @given(sketched_mappings())
    def test_its_own_count_of_events_is_the_same(self, drawn: tuple[Mapping, Device]) -> None:
        assert EventDriven().time(*drawn).events == census(*drawn) == events(*drawn)


def slot_by_slot(mapping: Mapping, device: Device, tokens: int) -> list[int]:
    """The ends of the last reads of products that follow each other, and the end of all conversions; one by one."""
    now = converters = 0
    found = []
    for _ in range(tokens):
        for times, read, conversion in slots(mapping, device):
            for _ in range(times):
                now += read
                if device.array.adc_overlap:
                    now = max(now, converters)  # the sums are held until the converters take them
                    converters = now + conversion
                else:
                    now += conversion
                    converters = now
        found.append(now)
    return [*found, max(now, converters)]


class TestProducts:
    @given(sketched_mappings(), st.integers(min_value=1, max_value=3))
    def test_one_event_stands_for_all_slots(self, drawn: tuple[Mapping, Device], tokens: int) -> None:
        assume(sum(times for times, _, _ in slots(*drawn)) <= 5000)
        product, end, converted = product_of(*drawn), 0, 0
        ends = []
        for _ in range(tokens):
            end, converted = product.run(end, converted)
            ends.append(end)
        assert [*ends, converted] == slot_by_slot(*drawn, tokens)

    @given(sketched_mappings())
    def test_the_period_is_that_of_steady_products(self, drawn: tuple[Mapping, Device]) -> None:
        product, ends, converted = product_of(*drawn), [0], 0
        for _ in range(4):
            end, converted = product.run(ends[-1], converted)
            ends.append(end)
        assert ends[-1] - ends[-2] == product.period
        assert product.period >= product_time(*drawn)


@given(short)
def test_with_nothing_shared_the_slowest_stage_sets_the_pace(drawn: tuple[Mapping, Device]) -> None:
    """Makespan = latencies of all stages + (tokens - 1) x the largest interval, with two tokens a buffer or many."""
    lane = tuple(LevelFactors(level.name, Factors()) for level in drawn[1].levels)
    workload = matrix_vector(1, 1, pixels=drawn[0].workload.pixels % 100 + 1)
    workload = replace(workload, input_bits=drawn[1].bits.activation, weight_bits=drawn[1].bits.weight)
    mapping, device = Mapping(workload, 1, 1, lane, Factors(pixel=workload.pixels)), apart(drawn[1])
    device = device.vary_all({"pipeline.before": 0, "pipeline.write_back": 0})
    (kind,) = kinds(mapping)
    what, product = plan(mapping, device, kind), product_of(mapping, device)
    assume(not product.converting)
    assert len({stage.resource for stage in what.stages}) == len(what.stages)
    ports = [stage.full for stage in what.stages]
    latencies = sum(ports) + product.first + product.inner + what.after
    expected = latencies + (what.steps - 1) * max(*ports, product.period)
    assert total(mapping, device, buffers=EVERYTHING) == expected
    assert total(mapping, device) == expected


@settings(max_examples=50)
@given(sketched_mappings())
def test_the_same_question_has_the_same_answer(drawn: tuple[Mapping, Device]) -> None:
    assert EventDriven().simulate(*drawn) == EventDriven().simulate(*drawn)


@settings(max_examples=50)
@given(short, st.sampled_from([2, 5, 10]))
def test_slower_by_a_factor_is_longer_by_it(drawn: tuple[Mapping, Device], factor: int) -> None:
    mapping, array = drawn[0], drawn[1].array
    before: dict[str, object] = {}
    after: dict[str, object] = {"array.read": factor * array.read, "array.input_pulse": factor * array.input_pulse}
    after |= {f"array.write.{part}": factor * getattr(array.write, part) for part in ("pulse", "verify")}
    if not array.digital:  # whole femtoseconds, as everywhere here
        before["array.adc_rate"] = Frequency(10**15)
        after["array.adc_rate"] = Frequency(10**15 // factor)
    for prefix, part in [("", drawn[1]), *((f"levels.{level.name}.", level) for level in drawn[1].levels)]:
        for port in ("input_bandwidth", "output_bandwidth", "merge_bandwidth"):
            if width := getattr(part, port, None):
                power = 10 ** (len(str(width.bytes_per_second)) - 1)
                before[prefix + port], after[prefix + port] = Bandwidth(power), Bandwidth(power // factor)
    after |= {f"levels.{level.name}.merge_hop": factor * level.merge_hop for level in drawn[1].levels}
    fast = drawn[1].vary_all(before)
    assert total(mapping, fast.vary_all(after)) == factor * total(mapping, fast)


def agree(sampled: Simulation, whole: Simulation) -> bool:
    return abs(sampled.timing.total.femtoseconds - whole.timing.total.femtoseconds) <= sampled.error.femtoseconds


class TestSampling:
    @settings(max_examples=25)
    @given(streams(), st.sampled_from([16, 24, 48]))
    def test_the_whole_is_within_the_stated_error(self, drawn: tuple[Mapping, Device], window: int) -> None:
        sampled = EventDriven(window).simulate(*drawn)
        whole = EventDriven(EVERYTHING).simulate(*drawn)
        assert (whole.sampled, whole.error) == (False, Time(0))
        assert sampled.sampled == (drawn[0].temporal.pixel > window and not drawn[0].input_stationary)
        assert agree(sampled, whole)

    @settings(max_examples=25)
    @given(streams(), st.sampled_from([16, EVERYTHING]))
    def test_phases_add_up_and_stalls_are_some_of_them(self, drawn: tuple[Mapping, Device], window: int) -> None:
        found = EventDriven(window).simulate(*drawn)
        assert tuple(phase.name for phase in found.timing.phases) == PHASES
        assert not any(phase.hidden for phase in found.timing.phases)
        assert list(found.stalls) == list(WAITS)
        compute = drawn[0].passes * drawn[0].temporal.pixel * product_of(*drawn).reads
        assert compute == next(p.time for p in found.timing.phases if p.name == "compute").femtoseconds

    @settings(max_examples=25)
    @given(streams() | short)
    def test_no_resource_does_two_things_at_once(self, drawn: tuple[Mapping, Device]) -> None:
        ends: dict[str, int] = {}
        for span in sorted(EventDriven(16).simulate(*drawn).timeline, key=lambda span: span.begin):
            assert span.begin.femtoseconds >= ends.get(span.resource, 0)
            assert span.end > span.begin
            ends[span.resource] = span.end.femtoseconds


def one_pe(workload: Workload, **changes: object) -> tuple[Mapping, Device]:
    device = TINY.vary_all({"levels.pe.count": 1, "levels.pe.input_bandwidth": None})
    device = device.vary_all({"levels.pe.output_bandwidth": None, **changes})
    return default_mapping(workload, device), device


class TestStalls:
    """One row tile of 8 values, two filters: 8 reads of 10 ns for every pixel, 8 bytes in and 2 sums of 19 bits out."""

    @pytest.mark.parametrize(("port", "cause"), [("input", "wait input"), ("output", "wait output")])
    def test_a_slow_port_stalls_the_arrays(self, port: str, cause: str) -> None:
        mapping, device = one_pe(matrix_vector(8, 2, pixels=400), **{f"levels.pe.{port}_bandwidth": "10 MB/s"})
        found = EventDriven().simulate(mapping, device)
        assert found.timing.bound == cause
        assert {name for name, time in found.stalls.items() if time > Time(0)} == {cause}

    def test_slow_converters_stall_it(self) -> None:
        mapping, device = one_pe(matrix_vector(8, 2, pixels=40), **{"array.adc_rate": "100 MHz"})
        found = EventDriven().simulate(mapping, device)
        assert found.timing.bound == "wait conversion"

    def test_lanes_that_add_up_wait_for_each_other(self) -> None:
        mapping, device = one_pe(matrix_vector(16, 2, pixels=40), **{"levels.cu.merge_bandwidth": "1 MB/s"})
        split = grant(mapping.workload, device, {"array.row": 1, "cu.row": 2, "array.pixel": 1, "cu.pixel": 1})
        assert split.at("cu").row == 2
        names = {span.resource for span in EventDriven().simulate(split, device).timeline}
        assert {"arrays 0", "arrays 1", "cu 0 merge"} <= names

    def test_a_shared_port_takes_turns(self) -> None:
        workload, slow = matrix_vector(8, 2, pixels=400), "100 MB/s"
        both = {"levels.pe.input_bandwidth": slow, "levels.pe.output_bandwidth": slow}
        mapping, device = one_pe(workload, **both)
        turns = device.vary("levels.pe.shared_port", True)
        assert total(mapping, device) < total(mapping, turns)
        names = {span.resource for span in EventDriven().simulate(mapping, turns).timeline}
        assert "pe port" in names


class TestStationaryInputs:
    """4 filters in two column passes of 2, 24 values in three row passes of 8, for 3 steps on one array of `tiny`."""

    ALONE = tuple(LevelFactors(level.name, Factors()) for level in TINY.levels)
    MAPPING = Mapping(
        matrix_vector(24, 4, pixels=3), 8, 2, ALONE, Factors(row=3, column=2, pixel=3), input_stationary=True
    )

    def test_a_pass_moves_what_is_not_there_yet(self) -> None:
        found = [(kind.inputs, kind.sums, kind.times) for kind in kinds(self.MAPPING)]
        # of every step: two row passes bring inputs and keep sums, the third ends the sums; then the other filters
        assert found == [(1, 0, 6), (1, 1, 3), (0, 0, 6), (0, 1, 3)]
        assert {(kind.steps, kind.vectors) for kind in kinds(self.MAPPING)} == {(1, 1)}

    def test_by_hand(self) -> None:
        timing = EventDriven().time(self.MAPPING, TINY)
        shown = {phase.name: phase.time for phase in timing.phases}
        assert shown["write"] == 18 * Time.parse("320 ns")
        assert shown["compute"] == 18 * 8 * Time.parse("10 ns")
        # the inputs of 8 ns hide in the cycle before the first read, as without them
        assert shown["fill"] == 18 * Time.parse("10 ns")
        # five cycles; where sums leave, 2 of 8 + 8 + 5 bits take 6 ns of the last cycle
        assert shown["drain"] == 18 * Time.parse("50 ns")

    def test_replicas_without_a_pixel_do_nothing(self) -> None:
        """Three pixels on two replicas: both have one in the first step, one of them in the second."""
        two = (LevelFactors("pe", Factors(pixel=2)), *self.ALONE[1:])
        mapping = replace(self.MAPPING, levels=two, temporal=Factors(row=3, column=2, pixel=2))
        assert {(kind.steps, kind.vectors) for kind in kinds(mapping)} == {(1, 2), (1, 1)}
        assert sum(kind.times for kind in kinds(mapping)) == mapping.turns * mapping.passes

    @given(sketched_mappings())
    def test_every_pass_is_of_some_kind(self, drawn: tuple[Mapping, Device]) -> None:
        m = drawn[0]
        found = list(kinds(m))
        groups, row, column = m.temporal.group, m.temporal.row, m.temporal.column
        brought = groups * row * (1 if m.input_stationary else column)
        moved = groups * column * (1 if m.input_stationary else 2 * row - 1)
        assert sum(kind.times for kind in found) == m.passes * m.turns
        assert sum(kind.times * kind.steps for kind in found) == m.passes * m.temporal.pixel
        assert sum(kind.times * kind.vectors for kind in found) == m.passes * m.vectors
        assert sum(kind.times * kind.inputs * kind.vectors for kind in found) == brought * m.vectors
        assert sum(kind.times * kind.sums * kind.vectors for kind in found) == moved * m.vectors


class TestOptions:
    def test_it_is_found_by_name(self) -> None:
        assert timing_model("event") == EventDriven()
        assert timing_model("event:window=1000") == EventDriven(window=1000)

    @pytest.mark.parametrize("spec", ["event:window=15", "event:buffers=0"])
    def test_too_little_is_refused(self, spec: str) -> None:
        with pytest.raises(OptionError, match="at least"):
            timing_model(spec)


def test_one_array_by_hand() -> None:
    """Two pixels through one array of `tiny`: inputs of 8 ns at 1 byte per ns, 8 reads of 10 ns, sums of 5 bytes."""
    mapping = grant(matrix_vector(8, 2, pixels=2), TINY, dict.fromkeys(["array.pixel", "cu.pixel", "pe.pixel"], 1))
    found = EventDriven().simulate(mapping, TINY)
    assert [(span.resource, span.what, str(span.begin), str(span.end)) for span in found.timeline] == [
        ("pe input", "step 0", "0 fs", "8 ns"),
        ("arrays 0", "step 0", "10 ns", "90 ns"),  # the stage before takes a cycle of 10 ns, the transfer in it
        ("pe input", "step 1", "8 ns", "16 ns"),
        ("arrays 0", "step 1", "90 ns", "170 ns"),
        ("pe output", "step 0", "130 ns", "135 ns"),  # in the last of five cycles after the last read
        ("pe output", "step 1", "210 ns", "215 ns"),
    ]
    assert found.timing.total == Time.parse("220 ns")
