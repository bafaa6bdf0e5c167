"""The optional abilities of a timing model: a protocol for each, and `abilities`, which finds those of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from cyclecast.device import Device
from cyclecast.mapping import Mapping, Mappings
from cyclecast.timing._base import Bounds, Failure, Timing, TimingModel, Timings


@runtime_checkable
class TimesMany(Protocol):
    """A timing model that times many mappings at once, as arrays; a search can then time millions."""

    def times(self, mappings: Mappings, device: Device) -> Timings:
        """The times of all mappings [fs]; element i equals `time` of mapping i."""
        ...


@runtime_checkable
class TimesEach(Protocol):
    """A timing model that takes a batch of mappings, for example a simulator that runs several processes."""

    def time_each(self, mappings: Sequence[Mapping], device: Device) -> Sequence[Timing | Failure]:
        """One answer for each mapping, in the order of the mappings."""
        ...


@runtime_checkable
class StatesBounds(Protocol):
    """A timing model with bounds of its own, because it models less or more of the device than `timing.bounds`."""

    def bounds(self, mapping: Mapping, device: Device) -> Bounds:
        """A lower bound for every mapping of the workload, and an upper bound for this mapping."""
        ...


@runtime_checkable
class NamesSecondOpinion(Protocol):
    """A timing model with a second opinion: a slower model whose times are never shorter; it re-times the best."""

    second_opinion: str | TimingModel | None
    """The slower model, or its name."""


@runtime_checkable
class SaysLawful(Protocol):
    """A timing model that states whether it keeps the laws of `TimingModel`. The default is True."""

    lawful: bool


@runtime_checkable
class SaysCountsTransfers(Protocol):
    """A timing model that states whether it counts all transfers. The default is False.

    True: the time of a mapping is at least the sum of its writes, the bytes through its busiest port, and the fill of
    the pipeline in every pass, as `cyclecast.timing` counts them. A search can then exclude more mappings.
    """

    counts_transfers: bool


class Abilities(NamedTuple):
    """The abilities of a timing model beside `time`; None for an ability that it does not have."""

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
