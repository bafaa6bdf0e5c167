"""The space of schedules that a search explores: built-in rules, and rules of the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from cyclecast._tvm import _adapters
from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.schedule._base import Rule
from cyclecast.schedule._generate import sampled_decisions
from cyclecast.schedule.rules import annotation_rules, sketch_rules
from cyclecast.search.mutators import Mutator, RebindLevel, RebindTiles, Replicate, ResizeTile, Retile
from cyclecast.timing import identity

MUTATORS: Mapping[Mutator, float] = {
    ResizeTile(): 0.07,
    RebindTiles(): 0.13,
    Replicate(): 0.07,
    RebindLevel(): 0.4,
    Retile(): 0.33,
}
"""Built-in mutation rules, and the probability of each."""
SHARE = 0.2
"""Default weight of a user's mutation rule."""


@dataclass(frozen=True, slots=True)
class Space:
    """The space of schedules on a device: built-in rules, and rules of the user.

    `rules` run after the built-in ones, and each sees the decisions of those before it. A rule returns the schedule
    unchanged, and others beside it. A decision that it annotates replaces an earlier one of the same name. `mutators`
    are added to the built-in ones, each with a weight relative to the built-in ones together (1); the default is 0.2.
    """

    device: Device
    rules: Sequence[Rule] = ()
    mutators: Sequence[Mutator] | Mapping[Any, float] = ()

    def __post_init__(self) -> None:
        for kind, found in (("rule", self.rules), ("mutator", self.mutators)):
            for each in found:
                if not callable(getattr(each, "apply", None)):
                    raise OptionError(kind, f"{each!r}", f"a {kind} has a method apply", "an object of such a class")

    @property
    def names(self) -> tuple[str, ...]:
        """Class names of the user's rules."""
        return tuple(type(rule).__name__ for rule in self.rules)

    @property
    def identity(self) -> str:
        """A text for records that identifies the user's rules and weights; empty if there are none."""
        weights = self.mutators.values() if isinstance(self.mutators, Mapping) else [SHARE] * len(self.mutators)
        mutators = (f"{identity(rule)} {weight}" for rule, weight in zip(self.mutators, weights, strict=True))
        return ", ".join(chain(map(identity, self.rules), mutators))

    def for_metaschedule(self) -> Any:
        """MetaSchedule's design space, for one search."""
        rules = [*sketch_rules(self.device), *annotation_rules(self.device), *self.rules]
        own = self.mutators if isinstance(self.mutators, Mapping) else dict.fromkeys(self.mutators, SHARE)
        return _adapters.space(rules, {**MUTATORS, **own}, sampled_decisions)
