"""The parameters of a device for the C drivers: the fields of `cyclecast_parameters`, in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

from cyclecast._integers import reduced
from cyclecast.device import Device, Encoding, Inputs
from cyclecast.timing import each_step

LEVELS = 8
"""CYCLECAST_LEVELS of `cyclecast_device.h`."""
STEPS = 32
"""CYCLECAST_STEPS of `cyclecast_device.h`."""

WHOLE, LONG = 32, 64
"""Bits of short and long fields."""
FIELDS: tuple[tuple[str, int, int], ...] = (
    ("levels", WHOLE, 1),
    ("counts", WHOLE, LEVELS),
    ("rows", WHOLE, 1),
    ("columns", WHOLE, 1),
    ("active_rows", WHOLE, 1),
    ("active_columns", WHOLE, 1),
    ("skips_unused", WHOLE, 1),
    ("weight_bits", WHOLE, 1),
    ("input_bits", WHOLE, 1),
    ("cell_bits", WHOLE, 1),
    ("encoding", WHOLE, 1),
    ("flips_columns", WHOLE, 1),
    ("sign_magnitude", WHOLE, 1),
    ("digital", WHOLE, 1),
    ("adc_bits", WHOLE, 1),
    ("adcs", WHOLE, 1),
    ("adc_overlap", WHOLE, 1),
    ("adc_period_fs", LONG, 1),
    ("adc_period_parts", LONG, 1),
    ("steps", WHOLE, 1),
    ("step_bits", WHOLE, STEPS),
    ("step_read_fs", LONG, STEPS),
    ("step_periods", WHOLE, STEPS),
    ("write_rows", WHOLE, 1),
    ("write_columns", WHOLE, 1),
    ("write_arrays", WHOLE, 1),
    ("write_fs", LONG, 1),
    ("cycle_fs", LONG, 1),
    ("fast", WHOLE, 1),
)
"""Name, bits and length of every field."""

Parameters = Mapping[str, int | tuple[int, ...]]
"""A number per field, or a tuple for a field with a length; missing elements are 0."""


def wrong_parameter(values: Mapping[str, object]) -> str:
    """A message about the first invalid field; empty if all fields fit the C structure."""
    unknown = [name for name in values if name not in {field for field, _, _ in FIELDS}]
    if unknown:
        return f"parameter {str(unknown[0])[:40]} is unknown; it must be one of cyclecast_parameters"
    return next(filter(None, (_wrong_field(values, *field) for field in FIELDS)), "")


def _wrong_field(values: Mapping[str, object], name: str, bits: int, length: int) -> str:
    if name not in values:
        return f"parameter {name} is missing; it must be given"
    value = values[name]
    if isinstance(value, tuple | list) != (length > 1):
        return f"parameter {name} is {'one number' if length > 1 else 'no number'}; it must be " + (
            f"a list of up to {length} numbers" if length > 1 else "a number"
        )
    many = value if isinstance(value, tuple | list) else (value,)
    if len(many) > length:
        return f"parameter {name} is a list of {len(many)} numbers; it must have {length} at most"
    wrong = [one for one in many if not is_whole(one, bits)]
    return f"parameter {name} is {str(wrong[0])[:40]}; it must be an integer from 0 to 2^{bits} - 1" if wrong else ""


def is_whole(value: object, bits: int) -> TypeGuard[int]:
    """Whether a value is an unsigned integer of `bits` bits; bool is none."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << bits


def parameters(device: Device, *, fast: bool = False) -> Parameters:
    """The parameters of a device; `fast` lets the behaviour model skip the bit level where converters are lossless."""
    array, write, steps = device.array, device.array.write, each_step(device)
    period, parts = reduced(10**18, array.adc_rate.millihertz)
    values: dict[str, int | tuple[int, ...]] = {
        "levels": len(device.levels),
        "counts": tuple(level.count for level in device.levels),
        "rows": array.rows,
        "columns": array.cols,
        "active_rows": array.active_rows,
        "active_columns": array.active_cols,
        "skips_unused": array.skips_unused,
        "weight_bits": device.bits.weight,
        "input_bits": device.bits.activation,
        "cell_bits": array.cell_bits,
        "encoding": tuple(Encoding).index(array.encoding),
        "flips_columns": array.flips_columns,
        "sign_magnitude": array.inputs is Inputs.SIGN_MAGNITUDE,
        "digital": array.digital,
        "adc_bits": array.adc_bits,
        "adcs": array.adcs,
        "adc_overlap": array.adc_overlap,
        "adc_period_fs": period,
        "adc_period_parts": parts,
        "steps": len(steps),
        "step_bits": device.step_bits,
        "step_read_fs": tuple(step.read for step in steps),
        "step_periods": tuple(step.conversion_steps for step in steps),
        "write_rows": write.rows,
        "write_columns": write.cols,
        "write_arrays": write.arrays,
        "write_fs": write.pulses * (write.pulse.femtoseconds + write.verify.femtoseconds),
        "cycle_fs": array.read.femtoseconds,
        "fast": fast,
    }
    return {name: value if isinstance(value, tuple) else int(value) for name, value in values.items()}
