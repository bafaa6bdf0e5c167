"""The operators and edges of a simulated pipeline; a token is a run of steps that are simulated as one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import NamedTuple

from cyclecast._clock import Signal, Turns
from cyclecast._integers import ceil_div
from cyclecast.network import Edge, receptive_field


@dataclass(eq=False, slots=True)
class Node:
    """An operator in the simulation."""

    place: int
    """Position in the network."""
    tokens: int
    """Tokens of one image."""
    time: int
    """Time of all steps of one image [fs]."""
    delay: int
    """Time from a token's end to its results [fs]."""
    port: Turns | None
    """Port of the busiest PE; None without a limit."""
    port_time: int
    """Time for which one image occupies the port [fs]."""
    pe: int
    """The busiest PE."""
    unit: Turns | None
    """The digital unit behind it that it occupies longest, in the PE where that unit is busiest."""
    unit_time: int
    """Time for which one image occupies that unit [fs]."""
    write: int
    """Part of `time` for writing a computed operand [fs]."""
    traffic: int
    """Time for which its inputs occupy the network, for one image [fs]."""
    ready: Signal
    """All inputs of a token have arrived."""
    fed: Signal
    """The inputs of a token are in the registers of the arrays."""
    taken: Signal
    """The step of a token has begun."""
    summed: Signal
    """The sums of a token have left the arrays."""
    done: Signal
    """The results of a token are complete."""
    waiting: bool = False
    """Whether it waits for room behind it."""
    came: deque[tuple[int, int]] = field(default_factory=deque)
    """Arrival of the inputs of every token not yet begun, before and after the network [fs]."""
    begun: list[int] = field(default_factory=list)
    """Begin of every token's step, if the simulation is paced [fs]."""
    ended: list[int] = field(default_factory=list)
    """Time at which the results of every token leave, before the network [fs]."""
    waits: list[dict[str, int]] = field(default_factory=list)
    """Waiting time of every image by cause [fs]."""

    def share(self, token: int, whole: int) -> int:
        """The part of one token in a time of the whole image [fs]."""
        return whole * (token + 1) // self.tokens - whole * token // self.tokens


class Link(NamedTuple):
    """An edge between two operators of the simulation."""

    source: int
    target: int
    way: int
    """Latency of the network [fs]."""
    inputs: list[int]
    """By token of the target: the last token of the source that it needs, in the same image."""
    room: list[int]
    """By token of the source: number of tokens that the target must have taken before, counted from the begin of the
    image; negative if tokens of an earlier image are enough."""


def freed_by_token(needs: Sequence[int], alive: int, pixels: int) -> list[int]:
    """Pixels of a source that are not needed any more, by number of tokens that the target has taken."""
    return [0, *(max(0, need - alive) for need in needs[:-1]), pixels]


@lru_cache(maxsize=1024)
def needed_by_token(edge: Edge, source: tuple[int, ...], target: tuple[int, ...], tokens: int) -> tuple[int, ...]:
    """Pixels of a source that each token of the target needs; `source` and `target` are their rasters."""
    most, needs, pixels = 0, [], prod(target)
    for token in range(tokens):
        last = ceil_div((token + 1) * pixels, tokens) - 1
        most = max(most, receptive_field(edge, source, target, int(last)))
        needs.append(most)
    return tuple(needs)
