"""A plan from given numbers of replicas, for example those of another tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cyclecast.errors import FitError, OptionError
from cyclecast.mapspace import default_mapping
from cyclecast.placement._pareto_mappings import replicated
from cyclecast.placement._plan import Plan
from cyclecast.placement._search import PlacementSearch

WHERE = "plan"


def planned(search: PlacementSearch, replicas: Mapping[str, int] | Sequence[int]) -> Plan:
    """A resident plan with given replicas of every operator, with the largest tiles and the fewest arrays.

    `replicas` are those of all operators on arrays in order, or by kernel or position. If factors of the levels cannot
    give a number of replicas, the next larger one is used. Raises `OptionError` if the replicas do not match the
    network, `FitError` if the plan does not fit.
    """
    counts = _by_place(search, replicas)
    mappings, needed = {}, 0
    for place, count in counts.items():
        operator = search.operators[place]
        most = operator.workload.pixels
        if not 1 <= count <= most:
            raise OptionError(
                _name(search, place), f"{count} replicas", f"1 to {most:,} are possible", "another number"
            )
        cut = default_mapping(operator.workload, search.device)
        found = replicated(operator.workload, search.device, search.model, cut, count)
        if found is None:
            where = f"{_name(search, place)} on {search.chips} x {search.chip.name}"
            raise FitError(where, f"{count} replicas", f"{search.device.arrays:,} arrays do not hold them", "fewer")
        mappings[place], needed = found, needed + found.arrays
    if needed > search.budget:
        where = f"{search.network.name} on {search.chips} x {search.chip.name}"
        raise FitError(where, f"{needed:,} arrays for the plan", f"there are {search.budget:,}", "fewer replicas")
    return search.pipeline(mappings)


def _by_place(search: PlacementSearch, replicas: Mapping[str, int] | Sequence[int]) -> dict[int, int]:
    """The replicas of every operator on arrays, by its position in the network."""
    if not isinstance(replicas, Mapping):
        if len(replicas) != len(search.placed):
            have = f"{search.network.name} has {len(search.placed)} operators on arrays"
            raise OptionError(WHERE, f"{len(replicas)} numbers of replicas", have, "one number for each")
        return dict(zip(search.placed, (_whole(count) for count in replicas), strict=True))
    kernels = {search.operators[place].kernel for place in search.placed}
    unknown = [key for key in replicas if key not in kernels and key not in set(map(str, search.placed))]
    if unknown:
        known = ", ".join([*sorted(filter(None, kernels))[:4], "..."])
        raise OptionError(
            WHERE, f"no operator '{unknown[0]}'", f"there are {known}, or places", "a name of placement.json"
        )
    found = {}
    for place in search.placed:
        count = replicas.get(str(place), replicas.get(search.operators[place].kernel))
        if count is None:
            raise OptionError(WHERE, f"nothing about {_name(search, place)}", "every operator has replicas", "1")
        found[place] = _whole(count)
    return found


def _name(search: PlacementSearch, place: int) -> str:
    operator = search.operators[place]
    return f"operator {place} ({operator.kernel or 'product'}, {operator.name})"


def _whole(count: object) -> int:
    if not isinstance(count, int) or isinstance(count, bool):
        raise OptionError(WHERE, f"{count!r} replicas", "they are whole numbers", "1")
    return count
