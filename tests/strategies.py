"""Hypothesis strategies for the values of cyclecast."""

from __future__ import annotations

from hypothesis import strategies as st

from cyclecast.device import Array, Bits, Device, Level, Pipeline, Write
from cyclecast.units import Bandwidth, Frequency, Size, Time

AMOUNTS = st.integers(min_value=1, max_value=10**30)

times = st.builds(Time, st.just(0) | AMOUNTS)
frequencies = st.builds(Frequency, AMOUNTS)
bandwidths = st.builds(Bandwidth, AMOUNTS)
sizes = st.builds(Size, st.just(0) | AMOUNTS)

device_times = st.builds(Time, st.integers(min_value=1, max_value=10**9))
identifiers = st.from_regex(r"[a-z][a-z0-9_]{0,7}", fullmatch=True)


@st.composite
def levels(draw: st.DrawFn) -> tuple[Level, ...]:
    """One to four levels with different names."""
    names = draw(st.lists(identifiers, min_size=1, max_size=4, unique=True))
    limits = st.none() | st.builds(Bandwidth, st.integers(min_value=10**6, max_value=10**12))
    return tuple(
        Level(
            name=name,
            count=draw(st.integers(min_value=1, max_value=6)),
            input_bandwidth=draw(limits),
            output_bandwidth=draw(limits),
        )
        for name in names
    )


@st.composite
def arrays(draw: st.DrawFn, weight_bits: int = 8) -> Array:
    """An array with room for at least one weight."""
    cell_bits = draw(st.integers(min_value=1, max_value=4))
    rows = draw(st.integers(min_value=1, max_value=256))
    cols = draw(st.integers(min_value=-(-weight_bits // cell_bits), max_value=256))
    return Array(
        rows=rows,
        cols=cols,
        active_rows=draw(st.integers(min_value=1, max_value=rows)),
        cell_bits=cell_bits,
        dac_bits=draw(st.integers(min_value=1, max_value=4)),
        adc_bits=draw(st.integers(min_value=1, max_value=12)),
        adc_saves_bit=draw(st.booleans()),
        adc_rate=Frequency(draw(st.integers(min_value=10**9, max_value=10**13))),
        adcs=draw(st.integers(min_value=1, max_value=cols)),
        adc_overlap=draw(st.booleans()),
        read=draw(device_times),
        write=Write(
            pulse=draw(device_times),
            verify=draw(device_times),
            pulses=draw(st.integers(min_value=1, max_value=10)),
            rows=draw(st.integers(min_value=1, max_value=rows)),
            cols=draw(st.integers(min_value=1, max_value=cols)),
            arrays=draw(st.integers(min_value=1, max_value=8)),
        ),
    )


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
    )
