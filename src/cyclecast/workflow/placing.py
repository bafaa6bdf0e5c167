"""Place a tuned network: from mappings of single workloads to arrays of whole chips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Mapped

from cyclecast import placement
from cyclecast.device import Dynamic
from cyclecast.mapping import MappedNetwork
from cyclecast.placement import Placement, Told
from cyclecast.timing import TimingModel


def place(
    tuned: MappedNetwork,
    *,
    chips: int | None = 1,
    objective: str = "interval",
    batch: int = 1,
    dynamic: Dynamic | str | None = None,
    timing: str | TimingModel = "analytical",
    arrays: int | None = None,
    replicas: Mapped[str, int] | Sequence[int] | None = None,
    progress: Callable[[Told], None] | None = None,
) -> Placement:
    """Put a whole network into the arrays of so many chips; None: as many as hold all its weights.

    `objective` is what is to be least: interval, latency, energy or arrays. `batch` images go through a segment before
    the next one is written, where not all weights are resident. `dynamic` says who multiplies two computed operands,
    host or arrays; unless said, the device does. `timing` times the mappings of single operators. At most so many
    `arrays` are in use at the same time. `replicas` is a plan of another tool, as a number for each operator on arrays
    in the order of the program, or by kernel or place in the network: it is placed as it is, in tiles as large as
    arrays. `progress` is told where it stands. Raises `FitError` where the network does not fit and arrays are not
    written during inference, or where the plan does not, `OptionError` where an option is none.
    """
    return placement.place(
        tuned.network,
        tuned.device,
        tuned.mappings,
        chips=chips,
        objective=objective,
        batch=batch,
        dynamic=dynamic,
        timing=timing,
        arrays=arrays,
        replicas=replicas,
        progress=progress,
    )
