"""What a search can say about its answer: the space, the proof, the front."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cyclecast.mapping import Mapping, mapping_from_json
from cyclecast.mapspace import SketchSize
from cyclecast.storage.reading import text, whole
from cyclecast.units import Energy, Time


@dataclass(frozen=True, slots=True)
class Certificate:
    """That no legal mapping of the space is better, if `lower` is the best time itself.

    Windows of more outputs than an array has filters side by side are not in the space.
    """

    covered: int
    """Legal points that were timed, or are no better than one that was."""
    timed: int
    best: Time
    runner_up: Time | None
    """The next longer time that was met."""
    lower: Time
    """No legal mapping is shorter."""

    @property
    def gap(self) -> float | None:
        """By which share the best time is above the lower bound: 0 where it is proven to be the least.

        None where nothing but a lower bound of 0 is known.
        """
        if self.best == self.lower:
            return 0.0
        return self.best / self.lower - 1 if self.lower.femtoseconds else None


@dataclass(frozen=True, slots=True)
class ParetoPoint:
    """A mapping that none looked at is as good as in time, energy and arrays together, and better in one of them."""

    mapping: Mapping
    time: Time
    energy: Energy
    arrays: int


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search can say about its answer."""

    strategy: str
    """The strategy that was followed, which may be another than the one asked for."""
    note: str = ""
    """Why it was another, that the clock has ended it, what is wrong with the timing model; empty otherwise."""
    sketches: tuple[SketchSize, ...] = ()
    certificate: Certificate | None = None
    front: tuple[ParetoPoint, ...] = ()
    """Of a search for several goals: what there is to choose from, shortest first, equal values once."""

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
    """Rebuild an outcome from `SearchResult.to_json`; `ValueError` where a part has another type."""
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
