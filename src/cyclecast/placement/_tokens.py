"""The operators of a simulated pipeline as tokens: runs of steps that are taken together."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import NamedTuple

from cyclecast._integers import ceil_div
from cyclecast.network import Edge, receptive_field
from cyclecast.placement._clock import Signal, Turns


@dataclass(eq=False, slots=True)
class Node:
    """An operator in the simulation."""

    place: int
    tokens: int
    time: int
    """Of one image [fs]."""
    delay: int
    port: Turns | None
    port_time: int
    """Of one image [fs]."""
    pe: int
    write: int
    """Of the time, for a computed operand [fs]."""
    traffic: int
    """Time for which its inputs occupy the network, for one image [fs]."""
    ready: Signal
    """For every token: all its inputs have arrived,"""
    fed: Signal
    """they are in the registers of its arrays,"""
    taken: Signal
    """its step has begun,"""
    done: Signal
    """its step has ended."""
    waiting: bool = False
    """For room."""
    came: deque[tuple[int, int]] = field(default_factory=deque)
    """When the inputs of every token whose step has not begun were there, without and with the network [fs]."""
    begun: list[int] = field(default_factory=list)
    """When the step of every token began, where that is noted [fs]."""
    ended: list[int] = field(default_factory=list)
    """When its pixels are there, the way to the next operator not counted [fs]."""
    waits: list[dict[str, int]] = field(default_factory=list)
    """Of every image [fs]."""

    def share(self, token: int, whole: int) -> int:
        """The part of a time of the whole image that one token takes."""
        return whole * (token + 1) // self.tokens - whole * token // self.tokens


class Link(NamedTuple):
    """An edge: for every token of the target the token of the source that it waits for, and the other way round."""

    source: int
    target: int
    way: int
    inputs: list[int]
    """For a token of the target, the token of the source in the same image."""
    room: list[int]
    """For a token of the source, how many tokens the target must have taken, counted from the image's first: negative
    where those of an image before are enough."""


def freed_by_token(needs: Sequence[int], alive: int, pixels: int) -> list[int]:
    """Pixels of a source that no later token needs, once so many tokens of the target are taken."""
    return [0, *(max(0, need - alive) for need in needs[:-1]), pixels]


@lru_cache(maxsize=1024)
def needed_by_token(edge: Edge, source: tuple[int, ...], target: tuple[int, ...], tokens: int) -> tuple[int, ...]:
    """Pixels of a source that are there before each token of the target, `source` and `target` being their rasters."""
    most, needs, pixels = 0, [], prod(target)
    for token in range(tokens):
        last = ceil_div((token + 1) * pixels, tokens) - 1
        most = max(most, receptive_field(edge, source, target, int(last)))
        needs.append(most)
    return tuple(needs)
