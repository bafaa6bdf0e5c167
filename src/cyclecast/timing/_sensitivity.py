"""Sensitivity of a mapping's time to the device: each field is improved by a tenth, one at a time.

The mapping stays the same. So a field that only helps other mappings, such as the count of a level, has no gain here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from cyclecast.device import Device
from cyclecast.errors import DeviceError
from cyclecast.mapping import Mapping
from cyclecast.timing._base import TimingModel
from cyclecast.units import Bandwidth, Frequency, Time

SHORTER = ("array.read", "array.input_pulse", "array.write.pulse", "array.write.verify")
"""Times, improved to a tenth less."""
MORE = (
    "array.adcs",
    "array.active_rows",
    "array.active_cols",
    "array.dac_bits",
    "array.write.rows",
    "array.write.cols",
    "array.write.arrays",
)
"""Counts, improved to a tenth more, and by at least one."""
LIMITS = {"array.adcs": "array.cols", "array.active_rows": "array.rows", "array.active_cols": "array.cols"}
"""Counts and the field that limits each of them."""
FEWER = ("array.write.pulses", "pipeline.fill")
"""Counts, improved to a tenth less, rounded down."""
PORTS = ("input_bandwidth", "output_bandwidth", "merge_bandwidth")
"""Bandwidths of the device and its levels, improved to a tenth more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """The time that one improved field saves."""

    field: str
    """Dotted name, as in `Device.vary`."""
    before: str
    after: str
    change: str
    """Text: "-10 %", or the values before and after."""
    time: Time
    """Time of the same mapping on the improved device."""
    saved: Time
    weight: Fraction
    """A tenth divided by the relative change of the field: 1/10 if a count has to double."""

    @property
    def saved_by_a_tenth(self) -> Fraction:
        """Saved time, scaled to a change by a tenth [fs], so that gains of large and small changes compare."""
        return self.saved.femtoseconds * self.weight


def sensitivity(mapping: Mapping, device: Device, model: TimingModel) -> tuple[Gain, ...]:
    """The fields whose improvement saves time on this mapping (A32).

    Sorted by `saved_by_a_tenth`, the largest first, then by name.
    """
    now = model.time(mapping, device).total.femtoseconds
    found = []
    for field, before, after, better in _better_devices(device):
        time = model.time(mapping, better).total
        if time.femtoseconds < now:
            saved, weight = Time(now - time.femtoseconds), Fraction(1, 10) / _relative(before, after)
            gain = Gain(
                field=field,
                before=_text(before),
                after=_text(after),
                change=_change(before, after),
                time=time,
                saved=saved,
                weight=weight,
            )
            found.append(gain)
    return tuple(sorted(found, key=lambda gain: (-gain.saved_by_a_tenth, gain.field)))


@lru_cache(maxsize=4)
def _better_devices(device: Device) -> tuple[tuple[str, object, object, Device], ...]:
    """Field, value before, value after and improved device of every valid improvement; cached for all workloads."""
    found = []
    for field, before, after in improvements(device):
        with suppress(DeviceError):  # the improved device is invalid, or the device has no such field
            found.append((field, before, after, device.vary(field, after)))
    return tuple(found)


def improvements(device: Device) -> Iterator[tuple[str, object, object]]:
    """Every field that can be improved, its value and an improved value; some make the device invalid."""
    fields = [*SHORTER, *MORE, *FEWER, "array.adc_rate", "array.adc_overlap", "array.skips_unused"]
    fields += PORTS[:2]
    for level in device.levels:
        fields += [f"levels.{level.name}.{field}" for field in (*PORTS, "merge_hop", "shared_port")]
    for field in fields:
        before = value_of(device, field)
        after = _better(field, before)
        most = value_of(device, LIMITS[field]) if field in LIMITS else None
        if isinstance(after, int) and isinstance(most, int):
            after = min(after, most)
        if after is not None and after != before:
            yield field, before, after


def value_of(device: Device, field: str) -> object:
    """The value of a field by its dotted name."""
    value: object = device
    for name in field.split("."):
        if isinstance(value, tuple):
            value = next(level for level in value if level.name == name)
        else:
            value = getattr(value, name)
    return value


def _better(field: str, value: object) -> object:
    """An improved value of the field; None if there is none."""
    match value:
        case bool():
            best = not field.endswith("shared_port")
            return best if value is not best else None
        case Time():
            least = 1 if field == "array.read" else 0
            shorter = max(least, value.femtoseconds * 9 // 10)
            return Time(shorter) if shorter < value.femtoseconds else None
        case Frequency():
            return Frequency(_tenth_more(value.millihertz))
        case Bandwidth():
            return Bandwidth(_tenth_more(value.bytes_per_second))
        case int() if field in MORE:
            return _tenth_more(value)
        case int():
            least = 0 if field == "pipeline.fill" else 1
            fewer = value * 9 // 10
            return fewer if fewer >= least and value > least else None
        case _:
            return None


def _tenth_more(amount: int) -> int:
    return max(amount + 1, amount * 11 // 10)


def _relative(before: object, after: object) -> Fraction:
    """The change as a fraction of the value before; 1 for a switch."""
    match before, after:
        case bool(), _:
            return Fraction(1)
        case Time(femtoseconds=one), Time(femtoseconds=other):
            return Fraction(one - other, one)
        case Frequency(millihertz=one), Frequency(millihertz=other):
            return Fraction(other - one, one)
        case Bandwidth(bytes_per_second=one), Bandwidth(bytes_per_second=other):
            return Fraction(other - one, one)
        case int(one), int(other):
            return Fraction(abs(other - one), one)
        case _:
            raise TypeError(f"{before} and {after} are no numbers")


def _change(before: object, after: object) -> str:
    if isinstance(before, Time):
        return "-10 %"
    return "+10 %" if isinstance(before, Frequency | Bandwidth) else f"{_text(before)} -> {_text(after)}"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
