"""Doubtful values of a device: probable slips of a unit, and fields that do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path

from cyclecast.device._explain import Path_, nearest_path
from cyclecast.device._file import found, parsed
from cyclecast.device._parts import Component
from cyclecast.device._schema import Device
from cyclecast.units import Bandwidth, Energy, Frequency, Power, Size, Time

FASTEST_READ = Time.parse("10 ps")
LONGEST = Time.parse("1 s")
"""Longest plausible time of a read, a pulse or a hop."""
SLOWEST, FASTEST_ADC = Frequency.parse("1 kHz"), Frequency.parse("10 THz")
MOST_ENERGY = Energy.parse("1 mJ")
SLOWEST_PORT = Bandwidth.parse("1 kB/s")
MOST_ARRAYS = 10**7


@dataclass(frozen=True, slots=True)
class Doubt:
    """A valid value that is probably a mistake."""

    field: str
    """Dotted name, as in `Device.vary`."""
    why: str
    where: str = ""
    """File and line, `a.yaml:12`; "" for a device that was not read from a file."""

    def __str__(self) -> str:
        return f"{self.where}: {self.field}: {self.why}" if self.where else f"{self.field}: {self.why}"


def load_doubted(name_or_path: str | Path) -> tuple[Device, tuple[Doubt, ...]]:
    """Load a device as `Device.load`; return it and all doubts about it with file and line, in the file's order."""
    file, content = found(name_or_path)
    device, plain, lines = parsed(Device, file, content)
    placed = [(lines[nearest_path(_path(doubt.field, plain), lines)], doubt) for doubt in doubts(device)]
    placed.sort(key=itemgetter(0))
    return device, tuple(replace(doubt, where=f"{file}:{line}") for line, doubt in placed)


def _path(field: str, plain: object) -> Path_:
    """The path of a field in the plain values: names of levels and components become positions."""
    path: Path_ = ()
    node = plain
    for part in field.split("."):
        if isinstance(node, list):
            place = next(place for place, item in enumerate(node) if item["name"] == part)
            node, path = node[place], (*path, place)
        else:
            node, path = node.get(part, {}) if isinstance(node, dict) else {}, (*path, part)
    return path


def doubts(device: Device) -> Iterator[Doubt]:
    """All doubts about a device, part by part."""
    yield from _bits(device)
    yield from _levels(device)
    yield from _array(device)
    yield from _slow(device)
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
    for level in device.levels:
        if level.buffer == Size(0):
            yield Doubt(f"levels.{level.name}.buffer", "0 B keep nothing; leave it out where it never limits")
        for component in level.components:
            yield from _component(f"levels.{level.name}.components.{component.name}", component)


def _array(device: Device) -> Iterator[Doubt]:
    array, bits = device.array, device.bits
    magnitude = max(1, bits.weight - (array.encoding != "offset"))
    if array.cell_bits > magnitude:
        yield Doubt(
            "array.cell_bits", f"{array.cell_bits}; a cell holds at most the {magnitude} bits of a whole weight"
        )
    if array.dac_bits > max(device.step_bits):
        yield Doubt("array.dac_bits", f"{array.dac_bits}; an activation has {max(device.step_bits)} bits to apply")
    if not array.digital and not SLOWEST <= array.adc_rate <= FASTEST_ADC:
        yield Doubt("array.adc_rate", f"{array.adc_rate}; ADCs of arrays make 1 MHz to 10 GHz")
    if array.read < FASTEST_READ:
        yield Doubt("array.read", f"{array.read}; published arrays take 1 ns to 10 us")


def _slow(device: Device) -> Iterator[Doubt]:
    """Doubts about times longer than a second and rates below a thousand per second, of any part."""
    levels = {f"levels.{level.name}": level for level in device.levels}
    array = {"array": device.array, "array.write": device.array.write}
    for name, part in {"": device, **levels, **array, "network": device.network, "host": device.host}.items():
        for field, value in vars(part).items() if part else ():
            if isinstance(value, Time) and value > LONGEST:
                yield Doubt(f"{name}.{field}", f"{value}; published devices take 1 ns to 1 ms")
            if isinstance(value, Bandwidth) and value < SLOWEST_PORT:
                yield Doubt(f"{name}.{field}".lstrip("."), f"{value}; published ports move 1 MB and more in a second")
            if isinstance(value, Frequency) and value < SLOWEST and name == "host":
                yield Doubt(f"{name}.{field}", f"{value}; processors make a million and more")


def _component(field: str, component: Component) -> Iterator[Doubt]:
    nothing = component.energy == Energy(0) or (component.energy is None and component.power == Power(0))
    if component.event is not None and nothing:
        field_of_it = "power" if component.energy is None else "energy"
        yield Doubt(
            f"{field}.{field_of_it}", f"every {component.event} costs nothing; an energy or a power gives its cost"
        )
    if component.energy is not None and component.energy > MOST_ENERGY:
        yield Doubt(
            f"{field}.energy", f"{component.energy} for one {component.event}; published ones take 1 fJ to 1 uJ"
        )
