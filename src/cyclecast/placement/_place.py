"""From mappings to a placement: all plans for the network on the chips, and the best of them."""

from __future__ import annotations

from collections.abc import Mapping as Mapped
from collections.abc import Sequence
from dataclasses import replace

from cyclecast._integers import ceil_div
from cyclecast.device import Device, Dynamic
from cyclecast.errors import FitError, OptionError
from cyclecast.mapping import Mapping
from cyclecast.network import Network, host_time
from cyclecast.placement._base import Check, DynamicCost, Placement, Tell, Told
from cyclecast.placement._choose import NEAR, Seen, choose
from cyclecast.placement._event import roomier, simulated
from cyclecast.placement._facts import bounds, costs_of_dynamic, misfit, wear
from cyclecast.placement._pareto_mappings import least_arrays
from cyclecast.placement._plan import Plan, front, index_of
from cyclecast.placement._replicas import planned
from cyclecast.placement._resident import dynamic_policy
from cyclecast.placement._search import PlacementSearch
from cyclecast.timing import TimingModel, host_chains, timing_model
from cyclecast.units import Time

MOST_CHIPS = 1024
MOST_IMAGES = 2**31 - 1
"""Largest `batch`."""
MOST_ARRAYS = 2**31 - 1
"""Largest `arrays`."""
IMAGES, TOKENS = 6, 48
"""Images, and most tokens of an operator per image, in the simulations that choose a plan."""
MOST_IN_VAIN = 2
"""Failed attempts to divide the buffers differently after which no other is made."""


def place(
    network: Network,
    chip: Device,
    mappings: Mapped[str, Mapping],
    *,
    chips: int | None = 1,
    objective: str = "interval",
    batch: int = 1,
    dynamic: Dynamic | str | None = None,
    timing: str | TimingModel = "analytical",
    arrays: int | None = None,
    replicas: Mapped[str, int] | Sequence[int] | None = None,
    progress: Tell | None = None,
) -> Placement:
    """Place a whole network in the arrays of `chips` chips (None: as many as all weights need).

    Either all weights are resident and form one pipeline, or segments of the network follow each other, each for a
    `batch` of images. The plans with the least `objective` by the closed form are simulated, and the best of these is
    taken. `mappings` are the tuned mappings by kernel. Operators that do not fit at once use them; the network is also
    placed with their tiles, and `Placement.gain` compares both. At most `arrays` arrays are in use at the same time.

    `replicas` gives the replicas of every operator on arrays, in the order of the program, or by kernel or position; no
    other plan is then tried, and tiles have the largest size. `progress` is called with the progress.

    Raises `FitError` if the network does not fit and the device cannot write during inference, or if the plan with
    `replicas` does not fit; `OptionError` for a wrong argument and for a network without operators for arrays.
    """
    index_of(objective)
    _require_numbers(chips, batch, arrays)
    if not network.members and not network.operators:
        raise _nothing(network)
    if not network.operators:
        raise OptionError(network.name, "it says nothing about its operators", "a front end does", "loading it anew")
    policy, model = dynamic_policy(chip, dynamic), timing_model(timing)
    least = chips or _enough(network, chip, policy)
    if least > MOST_CHIPS:
        where = f"{network.name} on {chip.name}"
        raise FitError(
            where, f"{least:,} chips for all weights", f"there are {MOST_CHIPS} at most", "a number of chips"
        )
    most = chips or min(MOST_CHIPS, 2 * least)  # factors of the levels take a little more than the tiles
    for count in range(least, max(least, most) + 1):
        search = PlacementSearch(
            network=network, chip=chip, chips=count, mappings=mappings, policy=policy, model=model, batch=batch,
            budget=arrays or count * chip.arrays, tell=progress or (lambda _: None),
        )  # fmt: skip
        if not search.placed:
            raise _nothing(network)
        plans = [planned(search, replicas)] if replicas is not None else search.resident(objective)
        if plans:
            break
    if replicas is None:
        plans += [*search.resident(objective, tuned=True), *search.segmented()]
    if not plans:
        raise misfit(search)
    return _placement(search, plans, objective)


def _nothing(network: Network) -> OptionError:
    """The error for a network without operators on arrays."""
    lever = "a network with convolutions or dense layers of constant weights"
    return OptionError(network.name, "there is nothing to place", network.warning, lever)


def _require_numbers(chips: int | None, batch: int, arrays: int | None) -> None:
    """Raise `OptionError` unless all are whole numbers within their limits."""
    for what, number, most in (("images in a batch", batch, MOST_IMAGES), ("chips", chips, MOST_CHIPS)):
        if number is not None and (type(number) is not int or not 1 <= number <= most):
            raise OptionError("place", f"{number!r:.40} {what}", f"1 to {most} are possible", "1")
    if arrays is not None and (type(arrays) is not int or not 1 <= arrays <= MOST_ARRAYS):
        raise OptionError("arrays", f"{arrays!r:.40}", f"it must be from 1 to {MOST_ARRAYS}", "arrays=1000")


def _enough(network: Network, chip: Device, policy: Dynamic) -> int:
    """Lower bound on the number of chips that hold all weights."""
    found = {operator.workload: 0 for operator in network.operators}
    for workload in found:
        found[workload] = least_arrays(workload, chip)
    whole = sum(found[o.workload] for o in network.operators if not o.is_dynamic or policy is Dynamic.ARRAYS)
    return max(1, int(ceil_div(whole, chip.arrays)))


def _placement(search: PlacementSearch, plans: list[Plan], objective: str) -> Placement:
    """The placement of the best plan."""
    seen = _seen(search, plans, objective)
    best = seen[0].plan
    costs = costs_of_dynamic(search)
    return Placement(
        network=search.network,
        chip=search.chip,
        floor=search.builder.floor,
        segments=best.segments,
        batch=search.batch,
        objective=objective,
        overlapped=best.overlapped,
        interval=best.interval,
        latency=best.latency,
        energy=best.energy,
        spent=search.meter.image(best.segments, search.batch, best.interval, search.dynamic),
        homes=search.homes,
        host=_host(search, costs),
        bounds=bounds(search),
        front=front(plans),
        independent=min((plan.interval for plan in plans if plan.tuned), default=None),
        gain=_gain(seen, plans, objective),
        dynamic=search.policy,
        dynamic_costs=costs,
        kept=tuple(kept for segment in best.segments for kept in segment.kept),
        wear=wear(search, best),
    )


def _host(search: PlacementSearch, costs: Sequence[DynamicCost]) -> Time:
    """Time of the host for one image: its chains of digital operators, and products of two computed operands."""
    products = sum((cost.host for cost in costs if cost.operator not in search.dynamic), Time(0))
    if search.network.digital:
        return sum(host_chains(search.homes, search.chip).values(), products)
    every = sum((host_time(operator, search.chip.host) for operator in search.network.host), Time(0))
    taken = sum((cost.host for cost in costs if cost.operator in search.dynamic), Time(0))
    return Time(max(0, every.femtoseconds - taken.femtoseconds))


def _seen(search: PlacementSearch, plans: list[Plan], objective: str) -> list[Seen]:
    """The simulated plans, the best first; a single plan is not simulated.

    Steps have the times of the plans' timing model.
    """

    in_vain = looked = 0

    def look(plan: Plan) -> tuple[Plan, Check]:
        nonlocal in_vain, looked
        builder, segment = search.builder, plan.longest
        found = [(segment, simulated(builder, segment, IMAGES, TOKENS, again=False))]
        waits = found[0][1].interval.femtoseconds > (1 + NEAR) * segment.period.femtoseconds
        if in_vain < MOST_IN_VAIN and (waits or found[0][1].blocked):
            other = roomier(builder, segment, IMAGES, TOKENS)
            in_vain += other is None
            found += [(other, simulated(builder, other, IMAGES, TOKENS, again=False))] if other else []
        looked += 1
        search.tell(Told("simulations", looked, looked))
        best, check = min(found, key=lambda each: (bool(each[1].blocked), each[1].interval))
        return replace(plan, segments=tuple(best if each is segment else each for each in plan.segments)), check

    if len(plans) == 1:
        return [Seen(plans[0], Check(Time(0), Time(0), (), ()), plans[0].of(objective)[0])]
    return choose(plans, objective, look, search.redealt)


def _gain(seen: list[Seen], plans: list[Plan], objective: str) -> float | None:
    """Objective of the best plan with the tuned tiles, divided by that of the best plan; at least 1.

    Both values are those of the closed form if the best plan is no worse by it; else those of the simulation. None if
    no plan has these tiles, or if all of them end in a deadlock.
    """
    best, tuned = seen[0], [plan for plan in plans if plan.tuned]
    closed = min((plan.of(objective)[0] for plan in tuned), default=0)
    own = best.plan.of(objective)[0]
    if own <= closed:
        return closed / own if own else None
    values = [each.value for each in seen if each.plan.tuned and not each.check.blocked]
    return min(values) / best.value if values and best.value else None
