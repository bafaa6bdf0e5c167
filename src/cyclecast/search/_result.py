"""The result of a search: the sizes of the mapspace, the certificate, the front."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cyclecast.mapping import Mapping, mapping_from_json
from cyclecast.mapspace import SketchSize
from cyclecast.storage.reading import text, whole
from cyclecast.units import Energy, Time


@dataclass(frozen=True, slots=True)
class Certificate:
    """The best time and a lower bound on the times of all legal mappings; if both are equal, the best is optimal.

    The mapspace has no windows with more outputs than an array has filters.
    """

    covered: int
    """Number of legal mappings that were timed, or excluded because they cannot be shorter than a timed one."""
    timed: int
    best: Time
    runner_up: Time | None
    """The second shortest time found."""
    lower: Time
    """Lower bound on the time of every legal mapping."""

    @property
    def gap(self) -> float | None:
        """best / lower - 1: 0 if the best time is proven to be optimal; None for a lower bound of 0."""
        if self.best == self.lower:
            return 0.0
        return self.best / self.lower - 1 if self.lower.femtoseconds else None


@dataclass(frozen=True, slots=True)
class ParetoPoint:
    """A Pareto mapping: no other mapping found is as good in time, energy and arrays and better in one of them."""

    mapping: Mapping
    time: Time
    energy: Energy
    arrays: int


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of a search, without the mappings that it timed."""

    strategy: str
    """Name of the strategy that ran; another than the requested one if that declined."""
    note: str = ""
    """Remarks: why another strategy ran, that the time limit ended it, errors of the timing model; "" if none."""
    sketches: tuple[SketchSize, ...] = ()
    """Sizes of the searched sketches."""
    certificate: Certificate | None = None
    front: tuple[ParetoPoint, ...] = ()
    """Pareto mappings of a search for several goals, shortest first; mappings with equal values appear once."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; `outcome_from_json` is the inverse."""
        found = self.certificate
        return {
            "strategy": self.strategy,
            "note": self.note,
            "sketches": [asdict(sketch) for sketch in self.sketches],
            "certificate": found and {name: _plain(getattr(found, name)) for name in found.__slots__},
            "front": [
                {"mapping": choice.mapping.to_json(), "fs": choice.time.femtoseconds, "arrays": choice.arrays}
                | {"aj": choice.energy.attojoules}
                for choice in self.front
            ],
        }


def _plain(value: Any) -> Any:
    return value.femtoseconds if isinstance(value, Time) else value


def outcome_from_json(value: dict[str, Any]) -> SearchResult:
    """Rebuild a result from `SearchResult.to_json`. Raises `ValueError` if a part has another type."""
    found = value["certificate"]
    certificate = found and Certificate(
        whole(found["covered"]),
        whole(found["timed"]),
        Time(whole(found["best"])),
        None if found["runner_up"] is None else Time(whole(found["runner_up"])),
        Time(whole(found["lower"])),
    )
    front = tuple(
        ParetoPoint(
            mapping_from_json(choice["mapping"]),
            Time(whole(choice["fs"])),
            Energy(whole(choice["aj"])),
            whole(choice["arrays"]),
        )
        for choice in value["front"]
    )
    sketches = tuple(
        SketchSize(text(sketch["rules"]), whole(sketch["points"]), whole(sketch["legal"]))
        for sketch in value["sketches"]
    )
    return SearchResult(text(value["strategy"]), text(value["note"]), sketches, certificate, front)
