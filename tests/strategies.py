"""Hypothesis strategies for the values of cyclecast."""

from __future__ import annotations

from hypothesis import strategies as st

from cyclecast.device import Array, Bits, Component, Device, Encoding, Event, Inputs, Level, Pipeline, Write
from cyclecast.mapping import TILE_AXES, Mapping
from cyclecast.mapspace import FILTERS, INPUT_STATIONARY, PACKED, WORD_LINES, Decision, grant, window_name
from cyclecast.mapspace._decisions import Decisions
from cyclecast.network import Axis, Kind, Slide, Workload
from cyclecast.units import Area, Bandwidth, Energy, Frequency, Power, Size, Time

AMOUNTS = st.integers(min_value=1, max_value=10**30)

times = st.builds(Time, st.just(0) | AMOUNTS)
frequencies = st.builds(Frequency, AMOUNTS)
bandwidths = st.builds(Bandwidth, AMOUNTS)
sizes = st.builds(Size, st.just(0) | AMOUNTS)
powers = st.builds(Power, st.just(0) | AMOUNTS)
energies = st.builds(Energy, st.just(0) | AMOUNTS)
areas = st.builds(Area, st.just(0) | AMOUNTS)

device_times = st.builds(Time, st.integers(min_value=1, max_value=10**9))
port_limits = st.none() | st.builds(Bandwidth, st.integers(min_value=10**6, max_value=10**12))
identifiers = st.from_regex(r"[a-z][a-z0-9_]{0,7}", fullmatch=True)


@st.composite
def components(draw: st.DrawFn) -> tuple[Component, ...]:
    """None to three components with different names."""
    names = draw(st.lists(identifiers, max_size=3, unique=True))
    counts = st.integers(min_value=1, max_value=8)
    amounts = st.integers(min_value=0, max_value=10**13)
    found = []
    for name in names:
        event = draw(st.none() | st.sampled_from(Event))
        stated = event is not None and (not event.has_peak or draw(st.booleans()))
        found.append(
            Component(
                name=name,
                count=draw(counts),
                power=Power(draw(amounts)),
                area=Area(draw(amounts)),
                per=draw(counts),
                event=event,
                energy=Energy(draw(amounts)) if stated else None,
            )
        )
    return tuple(found)


@st.composite
def levels(draw: st.DrawFn) -> tuple[Level, ...]:
    """One to four levels with different names."""
    names = draw(st.lists(identifiers, min_size=1, max_size=4, unique=True))
    return tuple(
        Level(
            name=name,
            count=draw(st.integers(min_value=1, max_value=6)),
            input_bandwidth=draw(port_limits),
            output_bandwidth=draw(port_limits),
            shared_port=draw(st.booleans()),
            merge_bandwidth=draw(port_limits),
            merge_hop=Time(draw(st.sampled_from([0, 0, 7, 10**6]))),
            components=draw(components()),
        )
        for name in names
    )


@st.composite
def arrays(draw: st.DrawFn, weight_bits: int = 8, largest: int = 256) -> Array:
    """An array that can hold at least one weight."""
    cell_bits = draw(st.integers(min_value=1, max_value=4))
    encoding = draw(st.sampled_from(Encoding))
    pair = 2 if encoding is Encoding.DIFFERENTIAL_ROWS else 1
    columns = -(-weight_bits // cell_bits) * (2 if encoding is Encoding.DIFFERENTIAL_COLUMNS else 1)
    rows = draw(st.integers(min_value=pair, max_value=max(pair, largest)))
    cols = draw(st.integers(min_value=columns, max_value=max(columns, largest)))
    everything = st.booleans()
    said: dict[str, object] = {
        "active_rows": rows if draw(everything) else draw(st.integers(min_value=pair, max_value=rows)),
        "active_cols": cols if draw(everything) else draw(st.integers(min_value=1, max_value=cols)),
        "skips_unused": draw(st.booleans()),
        "encoding": encoding,
        "dac_bits": draw(st.integers(min_value=1, max_value=4)),
        "inputs": draw(st.sampled_from(Inputs)),
        "input_pulse": draw(st.just(Time(0)) | device_times),
        "read": draw(device_times),
        "digital": draw(st.integers(min_value=0, max_value=3)) == 3,
    }
    if not said["digital"]:
        said |= {
            "adc_bits": draw(st.integers(min_value=1, max_value=12)),
            "adc_saves_bit": draw(st.booleans()),
            "adc_rate": Frequency(draw(st.integers(min_value=10**9, max_value=10**13))),
            "adcs": draw(st.integers(min_value=1, max_value=cols)),
            "adc_overlap": draw(st.booleans()),
            "adc_bit_serial": draw(st.booleans()),
            "adc_residue": draw(st.booleans()),
        }
    write = Write(
        pulse=draw(device_times),
        verify=draw(device_times),
        pulses=draw(st.integers(min_value=1, max_value=10)),
        rows=draw(st.integers(min_value=1, max_value=rows)),
        cols=draw(st.integers(min_value=1, max_value=cols)),
        arrays=draw(st.integers(min_value=1, max_value=8)),
    )
    return Array.model_validate({"rows": rows, "cols": cols, "cell_bits": cell_bits, "write": write} | said)


@st.composite
def devices(draw: st.DrawFn) -> Device:
    """A valid device, small enough to enumerate its mappings."""
    bits = Bits(
        activation=draw(st.integers(min_value=1, max_value=16)), weight=draw(st.integers(min_value=1, max_value=16))
    )
    return Device(
        format=1,
        name="random",
        cites=draw(st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=30)),
        bits=bits,
        levels=draw(levels()),
        array=draw(arrays(weight_bits=bits.weight)),
        pipeline=Pipeline(fill=draw(st.integers(min_value=0, max_value=20))),
        input_bandwidth=draw(port_limits),
        output_bandwidth=draw(port_limits),
        components=draw(components()),
    )


@st.composite
def workloads(draw: st.DrawFn, bits: Bits | None = None, largest: int = 40) -> Workload:
    """A workload of up to six axes in any order, with the given bits or any."""
    kinds = draw(st.lists(st.sampled_from(list(Kind)), min_size=1, max_size=6))
    extents = st.integers(min_value=1, max_value=largest)
    axes = tuple(Axis(f"{kind.value}{position}", draw(extents), kind) for position, kind in enumerate(kinds))
    widths = st.integers(min_value=1, max_value=32)
    pairs = [[axis for axis in axes if axis.kind is kind] for kind in (Kind.PIXEL, Kind.REDUCTION)]
    steps = st.integers(min_value=1, max_value=3)
    slides = (
        Slide(pixel.name, kernel.name, pixel.extent, kernel.extent, stride=draw(steps), dilation=draw(steps))
        for pixel, kernel in zip(*pairs, strict=False)
    )
    return Workload(
        name=draw(st.text(max_size=8)),
        axes=axes,
        input_bits=bits.activation if bits else draw(widths),
        weight_bits=bits.weight if bits else draw(widths),
        slides=tuple(slide for slide in slides if slide.shares),
    )


def decision_names(device: Device) -> list[str]:
    """Names of all decisions of the im2col sketch on this device."""
    return [WORD_LINES, FILTERS, *(Decision(level.name, axis).name for level in device.levels for axis in TILE_AXES)]


def decisions(device: Device, workload: Workload | None = None) -> st.SearchStrategy[Decisions]:
    """Any integers for any of the decisions, valid or not; with a workload, also decisions of other sketches."""
    values = st.integers(min_value=1, max_value=12) | st.integers(min_value=-(10**6), max_value=10**6)
    found = st.dictionaries(st.sampled_from(decision_names(device)), values)
    if workload is None:
        return found
    small = st.integers(min_value=0, max_value=6)
    more = {name: small for name in (PACKED, INPUT_STATIONARY, *map(window_name, workload.slides))}
    return st.builds(lambda one, other: one | other, found, st.fixed_dictionaries({}, optional=more))


@st.composite
def mappings(draw: st.DrawFn, device: Device | None = None) -> tuple[Mapping, Device]:
    """The mapping that a device, random or given, grants for random decisions of the im2col sketch; and the device."""
    chosen = device or draw(devices())
    workload = draw(workloads(bits=chosen.bits))
    return grant(workload, chosen, draw(decisions(chosen))), chosen


@st.composite
def sketched_mappings(draw: st.DrawFn, device: Device | None = None) -> tuple[Mapping, Device]:
    """Like `mappings`, for any sketch: with windows, packed groups and stationary inputs if they are possible."""
    chosen = device or draw(devices())
    workload = draw(workloads(bits=chosen.bits))
    return grant(workload, chosen, draw(decisions(chosen, workload))), chosen


def unlimited(device: Device) -> Device:
    """The device with free writing, and without limits on inputs, outputs and partial sums."""
    said: dict[str, object] = {"array.write.pulse": "0 fs", "array.write.verify": "0 fs"}
    for port in ("input_bandwidth", "output_bandwidth"):
        said |= {port: None} | {f"levels.{level.name}.{port}": None for level in device.levels}
    for level in device.levels:
        said |= {f"levels.{level.name}.merge_bandwidth": None, f"levels.{level.name}.merge_hop": "0 fs"}
    return device.vary_all(said)


def matrix_vector(reduction: int, filters: int, pixels: int = 1, groups: int = 1, bits: int = 8) -> Workload:
    """A workload with one axis of each kind."""
    axes = (
        Axis("g", groups, Kind.GROUP),
        Axis("p", pixels, Kind.PIXEL),
        Axis("f", filters, Kind.FILTER),
        Axis("k", reduction, Kind.REDUCTION),
    )
    return Workload("small", axes, bits, bits)
