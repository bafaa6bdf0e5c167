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
    """Place a network on `chips` chips; None: on as many as hold all its weights.

    `objective` is the quantity to minimise: interval, latency, energy or arrays. `batch` images go through a segment
    before the next segment is written, if not all weights are resident. `dynamic` chooses where products of two
    computed operands run, host or arrays; the default is the device's. `timing` times the mappings of single operators.
    `arrays` limits the arrays in use at the same time. `replicas` is the plan of another tool: a number per operator on
    arrays in program order, or by kernel or place in the network; it is placed as given, in tiles as large as arrays.
    `progress` is called with the state of the search. Raises `FitError` if the network does not fit and arrays are not
    written during inference, or if the plan does not fit; `OptionError` for a bad option.
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
