"""Rules between the fields of a device. A rule yields an error for each violation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import TYPE_CHECKING

from cyclecast.errors import DeviceError
from cyclecast.units import Time

if TYPE_CHECKING:
    from cyclecast.device._parts import Array, Component, Level, Pipeline, Unit
    from cyclecast.device._schema import Device

MOST_ARRAYS = 10**9
"""Most arrays of a device: about a hundred wafers."""
MOST_CELLS = 10**15
"""Most cells of a device: more than any wafer of memory has."""
ADC_FIELDS = ("adc_bits", "adc_rate", "adcs", "adc_overlap")
"""Fields that every analog array must have."""

Mistakes = Iterator[DeviceError]


def energy_has_an_event(component: Component) -> Mistakes:
    if component.energy is not None and component.event is None:
        yield DeviceError(
            "energy", f"{component.energy} without an event", "an energy is that of one event", "an 'event:'"
        )


def event_has_an_energy(component: Component) -> Mistakes:
    event = component.event
    if event is not None and component.energy is None and not event.has_peak:
        known = ", ".join(other for other in type(event) if other.has_peak)
        yield DeviceError(
            "event", f"'{event}' without an energy", f"full load counts only {known}", "an 'energy:' of one"
        )


def active_rows_exist(array: Array) -> Mistakes:
    yield from _at_most("active_rows", array.active_rows, "rows", array.rows)


def active_cols_exist(array: Array) -> Mistakes:
    yield from _at_most("active_cols", array.active_cols, "cols", array.cols)


def adcs_have_columns(array: Array) -> Mistakes:
    yield from _at_most("adcs", array.adcs, "cols", array.cols)


def _at_most(field: str, value: int, of: str, most: int) -> Mistakes:
    if value > most:
        yield DeviceError(field, f"{value}", f"the array has {most} {of}", f"{field}: {most}")


def read_takes_time(array: Array) -> Mistakes:
    if array.read == Time(0):
        yield DeviceError("read", f"{array.read}", "a read takes time", "'100 ns'")


def pulses_can_be_counted(array: Array) -> Mistakes:
    if array.input_pulse != Time(0) and array.dac_bits > 16:
        yield DeviceError("dac_bits", f"{array.dac_bits} bits as pulses", "16 bits are 65,535 pulses", "16")


def adcs_are_of_analog_arrays(array: Array) -> Mistakes:
    said = sorted(field for field in array.model_fields_set if field.startswith("adc"))
    for field in said if array.digital else ():
        yield DeviceError(field, "set for a digital array", "it has no ADC", "digital: false, or no such line")


def analog_arrays_have_adcs(array: Array) -> Mistakes:
    for field in ADC_FIELDS:
        if not array.digital and field not in array.model_fields_set:
            meaning = str(type(array).model_fields[field].description).partition(";")[0].rstrip(".")
            yield DeviceError(field, "missing", meaning, f"adding '{field}:', or digital: true")


def pairs_have_two_rows(array: Array) -> Mistakes:
    if array.rows_per_weight > array.active_rows:
        yield DeviceError("active_rows", "1", "a weight is a pair of word lines", "2")


def cycles_before_the_array_exist(pipeline: Pipeline) -> Mistakes:
    if pipeline.before > pipeline.fill:
        bound = f"fill is {pipeline.fill} cycles"
        yield DeviceError("before", f"{pipeline.before}", bound, f"before: {pipeline.fill}")


def cycles_after_the_array_exist(pipeline: Pipeline) -> Mistakes:
    left = pipeline.fill - pipeline.before
    if pipeline.write_back > left >= 0:
        bound = f"the pipeline has {pipeline.fill} cycles, {pipeline.before} of them before the array"
        yield DeviceError("write_back", f"{pipeline.write_back}", bound, f"write_back: {left}")


def levels_have_names_of_their_own(device: Device) -> Mistakes:
    yield from _different("levels", "level", device.levels)


def no_level_is_called_time(device: Device) -> Mistakes:
    for position, level in enumerate(device.levels):
        if getattr(level, "name", "") == "time":
            yield DeviceError(f"levels.{position}.name", "'time'", "schedules use this name for steps", "another name")


def weights_fit_into_an_array(device: Device) -> Mistakes:
    if device.columns_per_weight > device.array.cols:
        yield DeviceError(
            "array.cell_bits",
            f"a {device.bits.weight}-bit weight needs {device.columns_per_weight} columns",
            f"the array has {device.array.cols} cols",
            "more cell_bits or more cols",
        )


def components_have_names_of_their_own(device: Device) -> Mistakes:
    yield from _different("components", "component", device.components)


def components_of_levels_have_names_of_their_own(device: Device) -> Mistakes:
    for position, level in enumerate(device.levels):
        yield from _different(f"levels.{position}.components", "component", getattr(level, "components", ()))


def units_have_names_of_their_own(device: Device) -> Mistakes:
    for position, level in enumerate(device.levels):
        named = {component.name for component in getattr(level, "components", ())}
        yield from _different(f"levels.{position}.units", "unit", getattr(level, "units", ()), named)


def _different(field: str, what: str, items: Iterable[Level | Component | Unit], taken: Iterable[str] = ()) -> Mistakes:
    names = set(taken)
    for position, item in enumerate(items):
        name = getattr(item, "name", None)  # None for an item that is wrong itself
        if name in names:
            yield DeviceError(f"{field}.{position}.name", f"'{name}' again", f"{what} names differ", "another name")
        if name is not None:
            names.add(name)


def arrays_can_be_built(device: Device) -> Mistakes:
    counts = [level.count for level in device.levels]
    for position in range(len(counts)):
        arrays = prod(counts[: position + 1])
        if arrays > MOST_ARRAYS:
            yield DeviceError(
                f"levels.{position}.count",
                f"{arrays:,} instances on the device",
                f"a device has at most {MOST_ARRAYS:,} arrays",
                "smaller counts of the levels",
            )
            return
    cells = device.arrays * device.array.rows * device.array.cols
    if cells > MOST_CELLS:
        bound = f"a device has at most {MOST_CELLS:,}"
        yield DeviceError("array.rows", f"{cells:,} cells on the device", bound, "fewer rows, cols or arrays")
