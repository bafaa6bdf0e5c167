"""Notes on a lowered module: annotations of the block that writes the results back.

They hold what the loops do not show: the workload, the device, and the kernel before lowering. The reader does not
trust them: it lowers the kernel again and compares.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from zlib import compress, decompress

from tvm import tirx

from cyclecast._tvm._json import from_text, to_text
from cyclecast.device import Device
from cyclecast.errors import CyclecastError, ScheduleError
from cyclecast.mapping import Mapping

WORKLOAD = "cim.workload"
"""The workload, as JSON."""
FORM = "cim.form"
"""For a written-out matrix: its window and the number of groups in an array, as JSON."""
DEVICE = "cim.device"
"""The parameters of the device that the schedule depends on, as JSON; absent if it was lowered without a device."""
KERNEL = "cim.kernel"
"""The function before lowering: TVM's JSON, deflated, in base 64."""
IMPLEMENTATION = "cim.implementation"
"""Implementation of the intrinsics."""
NOTES = (WORKLOAD, FORM, DEVICE, KERNEL, IMPLEMENTATION)


def noted(kernel: Any) -> str:
    """Text of a `KERNEL` note."""
    return b64encode(compress(to_text(kernel).encode())).decode()


def notes(kernel: str, mapping: Mapping, implementation: str, device: Device | None) -> dict[str, str]:
    """The annotations of a kernel (the text of its note) that is lowered by this mapping."""
    said = {
        WORKLOAD: json.dumps(asdict(mapping.workload)),
        KERNEL: kernel,
        IMPLEMENTATION: implementation,
    }
    if mapping.packed > 1 or mapping.outputs > 1:
        said[FORM] = json.dumps({"packed": mapping.packed, "window": mapping.window})
    if device is not None:
        said[DEVICE] = json.dumps(described(device))
    return said


def described(device: Device) -> dict[str, Any]:
    """Parameters of a device that a schedule depends on: array size in weights, levels, bits of the operands."""
    return {
        "name": device.name,
        "word lines": device.word_lines_per_array,
        "filters": device.filters_per_array,
        "levels": {level.name: level.count for level in device.levels},
        "bits": [device.bits.activation, device.bits.weight],
    }


def require_device(text: str | None, device: Device) -> None:
    """Raise `ScheduleError` if a module was lowered for a device with other such parameters."""
    if text is None:
        return
    here = described(device)
    there = understood(DEVICE, text, lambda: dict(json.loads(text)))
    differences = [name for name in here if name != "name" and here[name] != there.get(name)]
    if differences:
        raise ScheduleError(
            "module",
            f"lowered for {there.get('name')} with {_listed(there, differences)}",
            f"{device.name} has {_listed(here, differences)}",
            "lowering the decided module again, for this device",
        )


def _listed(device: dict[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} {device.get(name)}" for name in names)


def kernel_of(text: str) -> Any:
    """The function of a `KERNEL` note."""

    def function() -> Any:
        found = from_text(decompress(b64decode(text, validate=True)).decode())
        if not isinstance(found, tirx.PrimFunc):
            raise TypeError(f"{type(found).__name__} instead of a PrimFunc")
        return found

    return understood(KERNEL, text, function)


def understood(note: str, text: str, reading: Callable[[], Any]) -> Any:
    """The result of reading a note; turns any error into a `ScheduleError` that quotes the note."""
    try:
        return reading()
    except CyclecastError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        raise ScheduleError(
            "module", f"{note} is {shown!r}", f"it cannot be read ({reason})", "lowering the decided module again"
        ) from None
