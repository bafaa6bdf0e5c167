from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import ceil, prod

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.mapping import TILE_AXES, Factors, LevelFactors, Mapping
from cyclecast.mapspace import grant, requests
from cyclecast.network import Axis, Kind, Workload
from cyclecast.timing import Analytical, Poster, Timing, input_bytes, output_bytes, product_time
from cyclecast.timing._analytical import SIDE_BY_SIDE
from cyclecast.timing._converters import slot_time, steps
from cyclecast.units import Bandwidth, Frequency, Time
from strategies import decisions, devices, mappings, matrix_vector, sketched_mappings, unlimited, workloads

ISAAC16 = Device.load("isaac16")
TINY = Device.load("tiny")

# 3 groups, 9 pixels, 5 filters in 3 column tiles, 20 reduction values in 3 row tiles.
SPREAD = Mapping(
    matrix_vector(20, 5, pixels=9, groups=3),
    word_lines=8,
    filters=2,
    levels=(
        LevelFactors("pe", Factors(pixel=2)),
        LevelFactors("cu", Factors(row=2)),
        LevelFactors("array", Factors(column=2)),
    ),
    temporal=Factors(group=3, row=2, column=2, pixel=5),
)


def phase(timing: Timing, name: str) -> Time:
    return next(phase.time for phase in timing.phases if phase.name == name)


def total(mapping: Mapping, device: Device) -> Time:
    return Analytical().time(mapping, device).total


def test_every_phase_by_hand() -> None:
    timing = Analytical().time(SPREAD, TINY)
    assert {phase.name: (str(phase.time), phase.hidden) for phase in timing.phases} == {
        # 12 passes x 4 turns (8 arrays, 2 at once) x 8 word lines x 2 pulses x 20 ns
        "write": ("15.36 us", False),
        # 12 passes x 5 steps x 8 input steps x 10 ns
        "compute": ("4.8 us", False),
        # into one PE: 12 passes x 5 steps x 2 row tiles x 8 word lines = 960 bytes at 1 byte per ns
        "input": ("960 ns", True),
        # out of one PE: 5 steps x 4 sums x (8 + 8 + 5) bits are 53 bytes in a first row pass (3 groups x 2 column
        # passes), and twice as many bits are 105 bytes in a second
        "output": ("948 ns", True),
        # no shared port, and partial sums merge for free
        "port": ("0 fs", True),
        "merge": ("0 fs", True),
        # 12 passes x 6 cycles
        "fill": ("720 ns", False),
        # the second of two lanes waits 8 ns for the first one's inputs; the last sums are 11
        # bytes in a first row pass and 21 in a second, 10 of which leave in the last cycle
        "ends": ("168 ns", False),
    }
    assert timing.total == Time.parse("21.048 us")
    assert timing.cycles == 2105
    assert timing.bound == "write"


@pytest.mark.parametrize(
    ("overlap", "adcs", "columns", "expected"),
    [
        (True, 1, 8, "10 ns"),  # 8 conversions of 1 ns behind a read of 10 ns
        (True, 1, 25, "25 ns"),
        (True, 2, 25, "13 ns"),
        (True, 8, 25, "10 ns"),
        (False, 1, 8, "18 ns"),
        (False, 2, 25, "23 ns"),
    ],
)
def test_slot(overlap: bool, adcs: int, columns: int, expected: str) -> None:
    device = TINY.vary_all({"array.cols": 32, "array.adc_overlap": overlap, "array.adcs": adcs})
    assert slot_time(columns, device, steps(device)[0]) == Time.parse(expected).femtoseconds


def test_a_slot_of_isaac_is_exactly_its_read() -> None:
    assert (
        slot_time(128, ISAAC16, steps(ISAAC16)[0]) == Time.parse("100 ns").femtoseconds
    )  # 128 conversions at 1.28 GS/s


@pytest.mark.parametrize(
    ("active_rows", "dac_bits", "word_lines", "slots"), [(8, 1, 8, 8), (4, 1, 8, 16), (3, 1, 8, 24), (4, 3, 4, 3)]
)
def test_product_time_counts_input_steps_and_row_phases(
    active_rows: int, dac_bits: int, word_lines: int, slots: int
) -> None:
    device = TINY.vary_all({"array.active_rows": active_rows, "array.dac_bits": dac_bits})
    mapping = grant(matrix_vector(8, 2), device, {"word_lines": word_lines})
    assert Time(product_time(mapping, device)) == slots * Time.parse("10 ns")


@given(st.integers(min_value=1, max_value=1000))
def test_one_array_of_isaac_takes_16_n_plus_6_cycles(pixels: int) -> None:
    workload = matrix_vector(128, 16, pixels=pixels, bits=16)
    mapping = grant(workload, ISAAC16, {"array.pixel": 1, "cu.pixel": 1, "pe.pixel": 1})
    assert Analytical().time(mapping, ISAAC16).cycles == 16 * pixels + 6


@given(sketched_mappings())
def test_the_longest_of_compute_input_and_output_hides_the_others(drawn: tuple[Mapping, Device]) -> None:
    timing = Analytical().time(*drawn)
    assert [phase.name for phase in timing.phases] == ["write", *SIDE_BY_SIDE, "fill", "ends"]
    beside = timing.phases[1:-2]
    visible = [phase for phase in beside if not phase.hidden]
    assert len(visible) == 1
    assert visible[0].time == max(phase.time for phase in beside)
    assert not timing.phases[0].hidden
    assert not timing.phases[-1].hidden


@given(mappings())
def test_resident_weights_cost_nothing_to_write(drawn: tuple[Mapping, Device]) -> None:
    mapping, device = drawn
    write = phase(Analytical().time(mapping, device), "write")
    assert (write == Time(0)) == (mapping.passes == 1)


@given(sketched_mappings())
def test_no_work_is_faster_than_all_arrays_together(drawn: tuple[Mapping, Device]) -> None:
    mapping, device = drawn
    compute = phase(Analytical().time(mapping, device), "compute")
    work = mapping.weight_tiles * mapping.vectors * Time(product_time(mapping, device))
    assert work <= device.arrays * compute


@given(mappings())
def test_ports_move_at_least_every_byte_once(drawn: tuple[Mapping, Device]) -> None:
    mapping, device = drawn
    timing, workload, outermost = Analytical().time(mapping, device), mapping.workload, device.levels[0]
    bits = {
        "input": (outermost.input_bandwidth, workload.groups * workload.reduction * workload.input_bits),
        "output": (outermost.output_bandwidth, workload.groups * workload.filters),
    }
    for name, (bandwidth, per_pixel) in bits.items():
        if bandwidth is not None:
            least = bandwidth.time(ceil(per_pixel * workload.pixels / (8 * outermost.count)))
            assert phase(timing, name) >= least


@given(mappings())
def test_the_poster_is_never_slower_on_one_pe(drawn: tuple[Mapping, Device]) -> None:
    mapping, device = drawn
    one_pe = device.vary_all({f"levels.{level.name}.count": 1 for level in device.levels[:-2]})
    same = grant(mapping.workload, one_pe, requests(mapping))
    assert Poster().time(same, one_pe).total <= total(same, one_pe)


@given(st.data())
def test_both_agree_where_nothing_is_left_over(data: st.DataObject) -> None:
    factors = st.builds(Factors, **dict.fromkeys(TILE_AXES, st.integers(min_value=1, max_value=3)))
    array, cu = data.draw(factors), data.draw(factors)
    drawn = data.draw(devices())
    counts: dict[str, object] = {
        "pipeline.fill": 2 + drawn.pipeline.fill,  # room for the last conversion
        "array.active_rows": drawn.array.rows,
        "array.active_cols": drawn.array.cols,
        "array.input_pulse": "0 fs",
    }
    if not drawn.array.digital:
        counts |= {"array.adcs": drawn.array.cols, "array.adc_rate": "1000 THz", "array.adc_overlap": True}
        counts |= {"array.adc_bit_serial": False, "array.read": "1 ns"}
    said = unlimited(drawn).vary_all(counts).to_json()
    said["levels"] = [{"name": "cu", "count": cu.product}, {"name": "array", "count": array.product}]
    device = Device.from_json(said)
    tiles = {axis: array.along(axis) * cu.along(axis) for axis in TILE_AXES}
    workload = replace(
        matrix_vector(
            device.word_lines_per_array * tiles["row"],
            device.filters_per_array * tiles["column"],
            tiles["pixel"] * data.draw(st.integers(min_value=1, max_value=4)),
            tiles["group"],
        ),
        input_bits=device.bits.activation,
        weight_bits=device.bits.weight,
    )
    asked = {f"{name}.{axis}": f.along(axis) for name, f in (("array", array), ("cu", cu)) for axis in TILE_AXES}
    mapping = grant(workload, device, asked)
    assert mapping.arrays == device.arrays
    assert mapping.passes == 1
    assert Analytical().time(mapping, device).total == Poster().time(mapping, device).total


def all_mappings(workload: Workload, device: Device) -> list[Mapping]:
    """Every binding of the largest tiles and of single word lines."""
    spread = [
        [factors for factors in product(range(1, level.count + 1), repeat=4) if prod(factors) <= level.count]
        for level in device.levels
    ]
    return [
        grant(
            workload,
            device,
            {
                f"{level.name}.{axis}": factor
                for level, factors in zip(device.levels, chosen, strict=True)
                for axis, factor in zip(TILE_AXES, factors, strict=True)
            }
            | {"word_lines": word_lines},
        )
        for chosen in product(*spread)
        for word_lines in (1, device.array.rows)
    ]


@given(st.data())
def test_more_arrays_are_never_slower_at_their_best(data: st.DataObject) -> None:
    said = data.draw(devices()).to_json()
    names = ["outer", "inner"][: data.draw(st.integers(min_value=1, max_value=2))]
    said["levels"] = [
        {"name": name, "count": data.draw(st.integers(1, 3)), "input_bandwidth": "1 GB/s"} for name in names
    ]
    few = Device.from_json(said)
    grown = data.draw(st.sampled_from(few.levels))
    many = few.vary(f"levels.{grown.name}.count", grown.count + 1)
    workload = data.draw(workloads(bits=few.bits, largest=4))
    before = min(total(mapping, few) for mapping in all_mappings(workload, few))
    after = min(total(mapping, many) for mapping in all_mappings(workload, many))
    assert after <= before


@given(st.data())
def test_half_the_replicas_are_never_faster(data: st.DataObject) -> None:
    drawn = unlimited(data.draw(devices()))
    inner = drawn.levels[-1]
    free = drawn.vary(f"levels.{inner.name}.count", inner.count + 1)
    workload = data.draw(workloads(bits=free.bits))
    pixels = Axis("more", data.draw(st.integers(2, 9)), Kind.PIXEL)
    alone = {f"{inner.name}.{axis}": 1 for axis in ("group", "row", "column")}  # so that there are replicas
    asked = {**data.draw(decisions(free)), **alone, f"{inner.name}.pixel": data.draw(st.integers(2, 9))}
    mapping = grant(replace(workload, axes=(*workload.axes, pixels)), free, asked)
    replicated = [entry for entry in mapping.levels if entry.factors.pixel > 1]
    halved = data.draw(st.sampled_from(replicated))
    levels = tuple(
        LevelFactors(entry.level, replace(entry.factors, pixel=entry.factors.pixel // 2)) if entry is halved else entry
        for entry in mapping.levels
    )
    steps = ceil(mapping.workload.pixels / prod(entry.factors.pixel for entry in levels))
    fewer = replace(mapping, levels=levels, temporal=replace(mapping.temporal, pixel=steps))
    assert fewer.replicas < mapping.replicas
    if steps == mapping.temporal.pixel:
        assert total(fewer, free) == total(mapping, free)
    else:
        assert total(fewer, free) > total(mapping, free)


@given(mappings(), st.sampled_from([1, 2, 4, 5, 10]), st.sampled_from([1, 50, 1000]))
def test_reads_and_conversions_scale_computation(drawn: tuple[Mapping, Device], factor: int, period: int) -> None:
    mapping, device = drawn
    device = unlimited(device)  # transfers of the first and the last step are part of the fill
    slower: dict[str, object] = {
        "array.read": factor * device.array.read,
        "array.input_pulse": factor * device.array.input_pulse,
        **{f"levels.{level.name}.merge_hop": factor * level.merge_hop for level in device.levels},
    }
    before = device
    if not device.array.digital:
        before = device.vary("array.adc_rate", Frequency(10**18 // period))  # a whole number of femtoseconds
        slower["array.adc_rate"] = Frequency(10**18 // (period * factor))
    after = before.vary_all(slower)
    for name in ("compute", "fill"):
        short, long = (phase(Analytical().time(mapping, where), name) for where in (before, after))
        assert long == factor * short


def more(device: Device, field: str) -> Device:
    """The device with a better value of the field."""
    array = device.array
    if field.endswith("bandwidth"):
        ports = {f"levels.{level.name}.{field}": getattr(level, field) for level in device.levels}
        ports[field] = getattr(device, field, None)
        doubled = {name: Bandwidth(2 * port.bytes_per_second) for name, port in ports.items() if port is not None}
        return device.vary_all(doubled)
    better: dict[str, object] = {
        "active_rows": array.rows,
        "adc_overlap": True,
        "adc_rate": Frequency(2 * array.adc_rate.millihertz),
        "adcs": min(array.adcs + 1, array.cols),
        "dac_bits": array.dac_bits + 1,
        "read": Time(max(1, array.read.femtoseconds // 2)),
        "input_pulse": Time(array.input_pulse.femtoseconds // 2),
        "skips_unused": True,
        "write.arrays": array.write.arrays + 1,
        "write.pulse": Time(array.write.pulse.femtoseconds // 2),
    }
    return device.vary(f"array.{field}", better[field])


@pytest.mark.parametrize(
    "field",
    [
        "active_rows",
        "adc_overlap",
        "adc_rate",
        "adcs",
        "dac_bits",
        "read",
        "write.arrays",
        "write.pulse",
        "input_bandwidth",
        "input_pulse",
        "merge_bandwidth",
        "output_bandwidth",
        "skips_unused",
    ],
)
@given(drawn=mappings())
def test_a_better_device_is_never_slower(field: str, drawn: tuple[Mapping, Device]) -> None:
    mapping, device = drawn
    assume(not (device.array.digital and field.startswith("adc")))
    assume(not (device.array.input_pulse > Time(0) and field == "dac_bits"))  # twice the bits are more pulses
    assert total(mapping, more(device, field)) <= total(mapping, device)


@given(st.data())
def test_one_pixel_more_is_never_faster(data: st.DataObject) -> None:
    device = data.draw(devices())
    workload = data.draw(workloads(bits=device.bits, largest=9))
    another = replace(workload, axes=(*workload.axes, Axis("more", 2, Kind.PIXEL)))
    asked = data.draw(decisions(device))
    assert total(grant(another, device, asked), device) >= total(grant(workload, device, asked), device)


def test_padding_is_no_traffic() -> None:
    """129 values in 9 row tiles of 16, 33 filters in 9 column tiles of 4, on one PE that holds them all."""
    device = TINY.vary_all({"levels.cu.count": 9, "levels.array.count": 9, "array.rows": 16, "array.active_rows": 16})
    device = device.vary("array.cols", 16)
    mapping = grant(matrix_vector(129, 33, pixels=100), device, {"word_lines": 16, "filters": 4, "array.pixel": 1})
    assert input_bytes(mapping, 0) <= 100 * 129
    assert output_bytes(mapping, 0) <= -(-100 * 33 * (8 + 8 + 8) // 8)


@given(st.data())
def test_two_batches_never_take_less_than_one_of_both(data: st.DataObject) -> None:
    """Resident weights: cycles of N1 + N2 images are at most those of N1 and of N2 together."""
    device = data.draw(devices())
    workload = data.draw(workloads(bits=device.bits, largest=9))
    asked = data.draw(decisions(device))
    images = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))

    def batch(number: int) -> Mapping:
        images = Axis("images", number, Kind.PIXEL)
        return grant(replace(workload, axes=(*workload.axes, images)), device, asked)

    one, other, both = (batch(number) for number in (*images, sum(images)))
    assume(both.passes == 1 and one.replicas == other.replicas == both.replicas)
    assert phase(Analytical().time(both, device), "compute") <= sum(
        (phase(Analytical().time(part, device), "compute") for part in (one, other)), Time(0)
    )


def test_packed_groups_take_fewer_passes() -> None:
    """Depthwise, 32 channels of a 3x3 kernel on one array of ISAAC: 14 lie side by side (14 x 9 rows, 16 filters)."""
    device = unlimited(ISAAC16.vary_all({f"levels.{level.name}.count": 1 for level in ISAAC16.levels}))
    alone = tuple(LevelFactors(level.name, Factors()) for level in device.levels)
    workload = matrix_vector(9, 1, pixels=100, groups=32, bits=16)
    apart = Mapping(workload, 9, 1, alone, Factors(group=32, pixel=100))
    packed = Mapping(workload, 9, 1, alone, Factors(group=3, pixel=100), packed=14)
    assert Analytical().time(apart, device).cycles == 32 * (1600 + 6)
    assert Analytical().time(packed, device).cycles == 3 * (1600 + 6)


def test_a_shared_port_takes_turns() -> None:
    shared = TINY.vary("levels.pe.shared_port", True)
    timing = Analytical().time(SPREAD, shared)
    assert phase(timing, "port") == Time.parse("1908 ns")  # 960 in, 948 out
