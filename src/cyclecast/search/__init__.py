"""Search strategies: which candidates are looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from cyclecast import plugins
from cyclecast.search._base import Strategy
from cyclecast.search._evolution import Evolution
from cyclecast.search._exhaustive import Exhaustive
from cyclecast.search._random import Random

__all__ = ["Evolution", "Exhaustive", "Random", "Strategy", "search_strategy"]

BUILT_IN: dict[str, Callable[[], type]] = {"evolution": lambda: Evolution, "random": lambda: Random}


def search_strategy(spec: str | Strategy) -> Strategy:
    """The strategy of a name such as `random` or `evolution:population=512`; an object is taken as it is."""
    return cast(Strategy, plugins.build("search", spec, BUILT_IN)) if isinstance(spec, str) else spec
