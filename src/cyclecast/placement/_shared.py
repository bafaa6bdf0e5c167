"""The port and the digital units of a PE, which the operators of a simulated pipeline share."""

from __future__ import annotations

from collections.abc import Mapping

from cyclecast._clock import Clock, Turns
from cyclecast.placement._floorplan import IDLE, Site, port_loads
from cyclecast.placement._resident import StageCost, demands_of

Chosen = Mapping[int, StageCost]
"""The mapping of every operator, by its position."""


def ports_of(sites: Mapping[int, Site], chosen: Chosen, clock: Clock) -> dict[int, tuple[Turns | None, int, int]]:
    """By operator: the port of its busiest PE, the time for which it occupies the port [fs], and that PE."""
    _, uses = port_loads(sites, demands_of(chosen))
    resources: dict[int, Turns] = {}
    found: dict[int, tuple[Turns | None, int, int]] = {
        place: (None, 0, site.runs[0].first) for place, site in sites.items()
    }
    for place, use in uses.items():
        found[place] = resources.setdefault(use.pe, Turns(clock)), use.own, use.pe
    return found


def units_of(sites: Mapping[int, Site], chosen: Chosen, clock: Clock) -> dict[int, tuple[Turns, int]]:
    """By operator: the digital unit that it occupies longest, in the PE where it is busiest, and for how long [fs]."""
    found: dict[int, tuple[Turns, int]] = {}
    for unit in dict.fromkeys(unit for each in chosen.values() for unit in each.units):
        _, uses = port_loads(sites, {place: each.units.get(unit, IDLE) for place, each in chosen.items()})
        turns: dict[int, Turns] = {}
        for place, use in uses.items():
            if place not in found or use.own > found[place][1]:
                found[place] = turns.setdefault(use.pe, Turns(clock)), use.own
    return found
