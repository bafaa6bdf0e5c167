"""The result of `tune` and `estimate`: a network with a mapping for each of its workloads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclecast._notebook import html_table
from cyclecast.device import Device
from cyclecast.energy import energy
from cyclecast.mapping import Mapping, mapping_text
from cyclecast.network import Member, Network
from cyclecast.search import SearchResult
from cyclecast.timing import Timing, TimingModel
from cyclecast.units import Energy, Time, short_time


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedWorkload:
    """The best mapping of one workload of a network."""

    member: Member
    mapping: Mapping
    timing: Timing
    candidates: int
    """Number of mappings that were timed."""
    reused: bool
    """Whether the result came from the database."""
    outcome: SearchResult
    """The certificate and other results of the search."""
    second_opinion: Timing | None = None
    """Timing by the second model that the timing model names (event simulation for the analytical model), or None."""
    disbelieved: str = ""
    """Why a result in the database was rejected and searched again; empty if none was."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """A network with a mapping for each of its workloads."""

    network: Network
    device: Device
    workloads: tuple[TunedWorkload, ...]
    model: TimingModel
    """The timing model of the search."""

    @property
    def mappings(self) -> dict[str, Mapping]:
        """Mapping of every kernel."""
        return {entry.member.kernel: entry.mapping for entry in self.workloads}

    @property
    def total(self) -> Time:
        """Time of all workloads one after another, counts included, without host operators."""
        return sum((entry.member.count * entry.timing.total for entry in self.workloads), Time(0))

    @property
    def second_opinion(self) -> Time | None:
        """The same time by the second model; None if the timing model names none."""
        found = [(entry.member.count, entry.second_opinion) for entry in self.workloads]
        if any(second is None for _, second in found):
            return None
        return sum((count * second.total for count, second in found if second), Time(0))

    @property
    def energy(self) -> Energy | None:
        """Energy of one image without the host, counts included.

        None if device or timing model do not state it (A17).
        """
        found = [
            (entry.member.count, energy(entry.mapping, self.device, entry.timing))
            for entry in self.workloads
            if entry.timing.events is not None
        ]
        if not found or len(found) < len(self.workloads) or not all(spent.shares for _, spent in found):
            return None
        return sum((count * spent.total for count, spent in found), Energy(0))

    def to_records(self) -> list[dict[str, Any]]:
        """One row per workload, with numbers and texts: `pandas.DataFrame(tuned.to_records())`."""
        return [
            {
                "workload": entry.member.workload.name,
                "count": entry.member.count,
                "macs": entry.member.workload.macs,
                "mapping": mapping_text(entry.mapping),
                "arrays": int(entry.mapping.arrays),
                "seconds": entry.timing.total.seconds,
                "candidates": entry.candidates,
                "gap": entry.outcome.certificate.gap if entry.outcome.certificate else None,
            }
            for entry in self.workloads
        ]

    def __repr__(self) -> str:
        return f"<{self.network.name} on {self.device.name}: {len(self.workloads)} workloads, {short_time(self.total)}>"

    def _repr_html_(self) -> str:
        rows = [
            (
                entry.member.workload.name,
                str(entry.member.count),
                f"{entry.mapping.arrays:,}",
                short_time(entry.timing.total),
            )
            for entry in self.workloads
        ]
        caption = f"{self.network.name} on {self.device.name}: {short_time(self.total)}, one workload after another"
        return html_table(caption, ("workload", "count", "arrays", "time"), rows)
