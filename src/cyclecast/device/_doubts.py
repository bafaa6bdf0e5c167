"""What a device may say, but hardly means: slips of a unit, and fields that do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cyclecast.units import Bandwidth, Energy, Frequency, Size, Time

if TYPE_CHECKING:
    from cyclecast.device._model import Device
    from cyclecast.device._parts import Component

FASTEST_READ, SLOWEST_READ = Time.parse("10 ps"), Time.parse("1 s")
LONGEST_PULSE = Time.parse("1 s")
SLOWEST_ADC, FASTEST_ADC = Frequency.parse("1 kHz"), Frequency.parse("10 THz")
MOST_ENERGY = Energy.parse("1 mJ")
SLOWEST_PORT = Bandwidth.parse("1 kB/s")
MOST_ARRAYS = 10**7


@dataclass(frozen=True, slots=True)
class Doubt:
    """A value that is possible and still most likely a mistake."""

    field: str
    """As in `Device.vary`."""
    why: str

    def __str__(self) -> str:
        return f"{self.field}: {self.why}"


def doubts(device: Device) -> Iterator[Doubt]:
    """All doubts about a device, in the order of its fields."""
    yield from _bits(device)
    yield from _levels(device)
    yield from _array(device)
    for component in device.components:
        yield from _component(f"components.{component.name}", component)


def _bits(device: Device) -> Iterator[Doubt]:
    bits = device.bits
    for field, value in (("bits.activation", bits.activation), ("bits.weight", bits.weight)):
        if value < 2:
            yield Doubt(field, f"{value} bit; networks are quantised to 2 to 16 bits, so none can be loaded for it")


def _levels(device: Device) -> Iterator[Doubt]:
    if device.arrays > MOST_ARRAYS:
        yield Doubt("levels", f"{device.arrays:,} arrays; published devices have up to some 100,000")
    ports = [("", device), *((f"levels.{level.name}.", level) for level in device.levels)]
    for prefix, part in ports:
        for name in ("input_bandwidth", "output_bandwidth", "merge_bandwidth"):
            port = getattr(part, name, None)
            if port is not None and port < SLOWEST_PORT:
                yield Doubt(f"{prefix}{name}", f"{port}; leave it out where it never limits")
    for level in device.levels:
        if level.buffer == Size(0):
            yield Doubt(f"levels.{level.name}.buffer", "0 B keep nothing; leave it out where it never limits")
        for component in level.components:
            yield from _component(f"levels.{level.name}.components.{component.name}", component)


def _array(device: Device) -> Iterator[Doubt]:
    array, bits = device.array, device.bits
    magnitude = bits.weight - (array.encoding != "offset")
    if array.cell_bits > max(1, magnitude):
        yield Doubt(
            "array.cell_bits", f"{array.cell_bits}; a cell holds at most the {magnitude} bits of a whole weight"
        )
    if array.dac_bits > max(device.step_bits):
        yield Doubt("array.dac_bits", f"{array.dac_bits}; an activation has {max(device.step_bits)} bits to apply")
    if not array.digital and not SLOWEST_ADC <= array.adc_rate <= FASTEST_ADC:
        yield Doubt("array.adc_rate", f"{array.adc_rate}; ADCs of arrays make 1 MHz to 10 GHz")
    if not FASTEST_READ <= array.read <= SLOWEST_READ:
        yield Doubt("array.read", f"{array.read}; published arrays take 1 ns to 10 us")
    if array.write.pulse > LONGEST_PULSE:
        yield Doubt("array.write.pulse", f"{array.write.pulse}; published cells take 1 ns to 1 ms")


def _component(field: str, component: Component) -> Iterator[Doubt]:
    if component.energy == Energy(0):
        yield Doubt(f"{field}.energy", f"a {component.event} for nothing; without the line it follows from the power")
    if component.energy is not None and component.energy > MOST_ENERGY:
        yield Doubt(
            f"{field}.energy", f"{component.energy} for one {component.event}; published ones take 1 fJ to 1 uJ"
        )
