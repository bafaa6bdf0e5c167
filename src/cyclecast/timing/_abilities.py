"""The optional abilities of a timing model, resolved in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from cyclecast.device import Device
from cyclecast.mapping import Mapping, Mappings
from cyclecast.timing._base import Bounds, Failure, Timing, TimingModel, Timings


@runtime_checkable
class TimesMany(Protocol):
    """A timing model that times many mappings at once, as arrays; a search then looks at millions."""

    def times(self, mappings: Mappings, device: Device) -> Timings:
        """The timings of all mappings, element by element equal to `time` [fs]."""
        ...


@runtime_checkable
class TimesEach(Protocol):
    """A timing model that answers for a batch of mappings, one by one: a simulator that runs several processes."""

    def time_each(self, mappings: Sequence[Mapping], device: Device) -> Sequence[Timing | Failure]:
        """One answer for each mapping, in their order."""
        ...


@runtime_checkable
class StatesBounds(Protocol):
    """A timing model with bounds of its own: it knows less than the whole device, or more."""

    def bounds(self, mapping: Mapping, device: Device) -> Bounds:
        """Bounds on the time of every mapping of this mapping's workload."""
        ...


@runtime_checkable
class NamesSecondOpinion(Protocol):
    """A timing model with a slower one, or its name, which is never shorter and re-times the best mappings."""

    second_opinion: str | TimingModel | None


@runtime_checkable
class SaysLawful(Protocol):
    """A timing model that says whether it keeps the laws of `TimingModel`; one that says nothing does."""

    lawful: bool


@runtime_checkable
class SaysCountsTransfers(Protocol):
    """A timing model that says whether it counts all transfers; one that says nothing does not.

    True: no mapping is faster than its writes, the bytes through its busiest port and the fill of the pipeline in every
    pass together, as `cyclecast.timing` counts them. More mappings are then left out of a search.
    """

    counts_transfers: bool


class Abilities(NamedTuple):
    """What a timing model offers beside `time`; None where it does not."""

    many: TimesMany | None
    each: TimesEach | None
    bounded: StatesBounds | None
    second_opinion: str | TimingModel | None
    lawful: bool
    counts_transfers: bool


def abilities(model: TimingModel) -> Abilities:
    """The abilities of this model: `times`, `time_each`, `bounds`, `second_opinion`, `lawful`, `counts_transfers`."""
    many = model if isinstance(model, TimesMany) else None
    return Abilities(
        many=many,
        each=model if isinstance(model, TimesEach) else None,
        bounded=model if isinstance(model, StatesBounds) else None,
        second_opinion=model.second_opinion if isinstance(model, NamesSecondOpinion) else None,
        lawful=model.lawful if isinstance(model, SaysLawful) else True,
        counts_transfers=many is not None and isinstance(model, SaysCountsTransfers) and model.counts_transfers,
    )
