"""What was measured on chips that exist, from `tests/published/silicon.yaml`, and what the model says of the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from cyclecast.device import Device
from cyclecast.energy import energy, peak
from cyclecast.mapspace import default_mapping
from cyclecast.timing import Analytical
from strategies import matrix_vector

FILE = Path(__file__).parent / "published" / "silicon.yaml"


@dataclass(frozen=True)
class Measured:
    """A published number of a chip, in its unit: TOPS, or TOPS/W of the components that are named."""

    chip: str
    what: str
    cites: str
    library: str
    basis: str
    unit: str
    within: float
    components: tuple[str, ...]
    label: str
    published: float
    vary: Mapping[str, Any]

    @property
    def device(self) -> Device:
        return Device.load(self.library).vary_all(self.vary)

    @property
    def modelled(self) -> float:
        if self.unit == "TOPS":
            return float(peak(self.device).operations_per_second) / 1e12
        device = self.device
        workload = matrix_vector(device.word_lines_per_array, device.filters_per_array, bits=device.bits.activation)
        mapping = default_mapping(workload, device)
        spent = energy(mapping, device, Analytical().time(mapping, device))
        return 2 * workload.macs / sum(spent.of(name).joules for name in self.components) / 1e12

    @property
    def error(self) -> float:
        """How far the modelled number is from the published one, which is 1."""
        return self.modelled / self.published - 1


@cache
def measured() -> tuple[Measured, ...]:
    """All points, in the order of the file."""
    return tuple(
        Measured(
            chip=entry["chip"],
            what=entry["what"],
            cites=entry["cites"],
            library=entry["device"],
            basis=entry["basis"],
            unit=entry["unit"],
            within=float(entry["within"]),
            components=tuple(entry.get("components", ())),
            label=str(point["label"]),
            published=float(point["published"]),
            vary=dict(point["vary"]),
        )
        for entry in YAML(typ="safe").load(FILE)
        for point in entry["points"]
    )


def of_device(library: str, unit: str = "TOPS") -> tuple[Measured, ...]:
    """The points of one device of the library."""
    return tuple(point for point in measured() if (point.library, point.unit) == (library, unit))
