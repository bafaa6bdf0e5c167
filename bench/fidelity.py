"""Measure how far the closed form (L1) can be believed, against the event simulation (L2), where it matters.

`python bench/fidelity.py` writes bench/out/fidelity.json; with `--docs` also the tables of docs/fidelity.md. Two parts:

* *ranking*: thirty layers. Of 4,000 mappings drawn at random, and of those that the exhaustive search looks at, the 300
  shortest by L1 are simulated. A pair whose L2 times differ by more than 3 % counts as right if L1 puts it in the same
  order; a tie in L1 counts as wrong. The best 3 % by L1 are compared with the best 3 % by L2, place by place.
* *winners*: what `tune` takes for every workload of five networks. Its L2 over its L1, and its *regret*: how far its L2
  is above the least L2 of 4,000 drawn mappings and of the 300 shortest of the exhaustive search.

L1 is above L2 only where more replicas are at work than the steps need (A7), so only mappings whose L1 is below the
best L2 need a simulation. Seeds are fixed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

from cyclecast import Device
from cyclecast.errors import CyclecastError
from cyclecast.frontend import load
from cyclecast.mapping import Mapping
from cyclecast.mapspace import default_mapping
from cyclecast.network import Workload
from cyclecast.report import mapping_text
from cyclecast.search import Exhaustive, Problem, Random, Shortlist, Timed, begin, follow
from cyclecast.search._exhaustive import NEVER, ExhaustiveSearch
from cyclecast.timing import Analytical, EventDriven, Timings
from cyclecast.workflow.job import second_of
from large_networks import resnet50
from placed import Build, conv, dense, mobilenet_v2, resnet18, vgg16
from text_direction import INPUT, SHAPE, model_file

ROOT = Path(__file__).parent.parent
OUT = ROOT / "bench" / "out"
DOCS = ROOT / "docs" / "fidelity.md"
DRAWN, SHORTEST, APART, SHARE = 4000, 300, 0.03, 0.03
CONVOLUTIONS = (
    (112, 3, 64, 7, 2), (56, 64, 64, 3), (28, 64, 128, 3, 2), (28, 128, 128, 3), (14, 128, 256, 3, 2),
    (14, 256, 256, 3), (7, 256, 512, 3, 2), (7, 512, 512, 3), (7, 256, 512, 1, 2), (56, 24, 144, 1),
)  # fmt: skip
DENSE = (
    (512, 1000), (4096, 1000), (4096, 4096), (1280, 1000), (2048, 1000),
    (64, 10), (784, 128), (256, 256), (1024, 512), (384, 1536),
)  # fmt: skip


def depthwise() -> list[Workload]:
    """Ten of MobileNetV2's size."""
    build = Build()
    build.conv([], 112, 3, 32, 3, 2)
    for size, channels, stride in (
        (112, 32, 1), (56, 96, 2), (56, 144, 1), (28, 144, 2), (28, 192, 1), (14, 192, 2), (14, 384, 1), (14, 576, 1),
        (7, 576, 2), (7, 960, 1),
    ):  # fmt: skip
        build.depthwise(0, size, channels, stride)
    return [operator.workload for operator in build.operators[1:]]


class Widest(ExhaustiveSearch):
    """An exhaustive search that goes on until it has met the `SHORTEST` shortest mappings of all."""

    kept = np.full(SHORTEST, NEVER, dtype=object)

    @property
    def best(self) -> int:
        """The longest of the shortest times so far, which bounds are compared with."""
        return int(self.kept[-1])

    def tell(self, timings: Any) -> None:
        """Take in times."""
        super().tell(timings)
        totals = timings.total if isinstance(timings, Timings) else [t.total.femtoseconds for t in timings if t]
        self.kept = np.sort(np.concatenate([self.kept, np.array(totals, dtype=object)]))[:SHORTEST]


def devices() -> dict[str, Device]:
    """Those whose ports are stated, and one without any, with as many cores as the largest layer takes."""
    cores = Device.load("hermes64").vary("levels.core.count", 2048)
    return {"isaac": Device.load("isaac"), "isaac_ou": Device.load("isaac_ou"), "hermes64": cores}


def shortest(found: Iterator[Timed], most: int) -> list[tuple[int, Mapping]]:
    """The shortest mappings of a search with their L1 times [fs], shortest first."""
    kept: list[tuple[int, int, Mapping]] = []
    for timed in found:
        for place in timed.shortest(most):
            total, arrays = timed.value(place)
            if len(kept) < most or (total, arrays) < kept[-1][:2]:
                kept.append((total, arrays, timed.batch[place]))
        kept = sorted({entry[2]: entry for entry in kept}.values(), key=lambda entry: entry[:2])[:most]
    return [(total, mapping) for total, _, mapping in kept]


def drawn(workload: Workload, device: Device) -> list[tuple[int, Mapping]]:
    """Of so many random mappings the shortest."""
    problem = Problem(workload=workload, device=device, model=Analytical(), trials=DRAWN, seed=0)
    return shortest(follow(begin(Random(), problem), problem), SHORTEST)


def widest(workload: Workload, device: Device) -> list[tuple[int, Mapping]]:
    """The shortest of all mappings."""
    problem = Problem(workload=workload, device=device, model=Analytical(), trials=1, seed=0)
    return shortest(follow(Widest(problem, Exhaustive(most=3_000_000)), problem), SHORTEST)


def simulated(mapping: Mapping, device: Device) -> int:
    """L2 [fs]."""
    return EventDriven().time(mapping, device).total.femtoseconds


def ranking(workload: Workload, device: Device, entries: list[tuple[int, Mapping]]) -> dict[str, float]:
    """Agreement of L1 and L2 on the order of these mappings."""
    quick = np.array([total for total, _ in entries], float)
    slow = np.array([simulated(mapping, device) for _, mapping in entries], float)
    first, second = np.triu_indices(len(entries), 1)
    apart = np.abs(slow[first] - slow[second]) > APART * np.minimum(slow[first], slow[second])
    right = np.sign(quick[first] - quick[second]) == np.sign(slow[first] - slow[second])
    most = max(1, round(SHARE * len(entries)))
    by_quick = np.sort(slow[np.argsort(quick, kind="stable")[:most]])
    return {
        "mappings": len(entries),
        "pairs": int(apart.sum()),
        "right": float(right[apart].mean()) if apart.any() else 1.0,
        "best": float((by_quick / np.sort(slow)[:most]).max() - 1),
        "ratio": float((slow / quick).max()),
        "least": float((slow / quick).min()),
    }


def winner(workload: Workload, device: Device) -> dict[str, Any]:
    """The mapping that `tune` takes, and its regret."""
    problem, near = Problem(workload=workload, device=device, model=Analytical(), trials=1, seed=0), Shortlist()
    for found in follow(begin(Exhaustive(), problem), problem):
        near.add(found)
    timed = [(mapping, Analytical().time(mapping, device)) for *_, mapping in near.entries]
    mapping, timing, second = second_of(timed, Analytical(), device)
    assert second is not None
    least, by = second.total.femtoseconds, "winner"
    for name, entries in (("drawn", drawn(workload, device)), ("search", widest(workload, device))):
        for total, other in entries:
            if total >= least:
                break
            if (time := simulated(other, device)) < least:
                least, by = time, name
    return {
        "workload": workload.name,
        "mapping": mapping_text(mapping),
        "ratio": second.total / timing.total,
        "regret": second.total.femtoseconds / least - 1,
        "by": by,
    }


def networks() -> dict[str, list[Workload]]:
    """The distinct workloads of five networks."""
    found = {"ResNet-18": resnet18(), "MobileNetV2": mobilenet_v2(), "VGG-16": vgg16(8)}
    with TemporaryDirectory() as folder:
        found["ResNet-50"] = load(resnet50(Path(folder) / "resnet50.onnx"))
        found["text direction"] = load(model_file(), shapes={INPUT: SHAPE})
    return {name: list(dict.fromkeys(m.workload for m in network.members)) for name, network in found.items()}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--docs", action="store_true", help="write the tables of docs/fidelity.md")
    arguments.add_argument("--devices", nargs="*", default=list(devices()))
    chosen = arguments.parse_args()
    OUT.mkdir(exist_ok=True)
    begun = time.process_time()
    known = {name: devices()[name] for name in chosen.devices}
    results = {"ranking": ranked(known), "winners": won({name: known[name] for name in known if name != "isaac_ou"})}
    results["seconds"] = time.process_time() - begun
    (OUT / "fidelity.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    tables = {name: table(results[name]) for name in ("ranking", "winners")}
    for name, rows in tables.items():
        show(name, rows)
    if chosen.docs:
        text = DOCS.read_text(encoding="utf-8")
        for name, rows in tables.items():
            head, _, tail = text.partition(f"<!-- {name} -->\n")
            text = f"{head}<!-- {name} -->\n{markdown(rows)}<!-- /{name} -->{tail.partition(f'<!-- /{name} -->')[2]}"
        DOCS.write_text(text, encoding="utf-8")


def ranked(known: dict[str, Device]) -> list[dict[str, Any]]:
    """One line for each device, kind of layer, and way to come by mappings."""
    lines = []
    layers = {
        "convolutions": [conv(*extents) for extents in CONVOLUTIONS],
        "dense layers of one vector": [dense(*extents) for extents in DENSE],
        "depthwise convolutions": depthwise(),
    }
    for name, device in known.items():
        for kind, workloads in layers.items():
            for way, source in (("drawn", drawn), ("search", widest)):
                each = [
                    ranking(workload, device, source(workload, device)) | {"workload": workload.name}
                    for workload in track(workloads, f"{name} {kind} {way}", transient=True)
                ]
                lines.append({"device": name, "layers": kind, "mappings": way, "each": each})
    return lines


def won(known: dict[str, Device]) -> list[dict[str, Any]]:
    """One line for each device and network."""
    lines = []
    for name, device in known.items():
        for network, workloads in networks().items():
            each = [
                winner(workload, device)
                for workload in track(workloads, f"{name} {network}", transient=True)
                if fits(workload, device)
            ]
            lines.append({"device": name, "network": network, "each": each})
    return lines


def fits(workload: Workload, device: Device) -> bool:
    """Whether the device can hold the workload."""
    try:
        default_mapping(workload, device)
    except CyclecastError:
        return False
    return True


def table(lines: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The worst of every line, a header first."""
    if "network" in lines[0]:
        rows = [("device", "network", "workloads", "L2 / L1, worst", "of", "regret, worst")]
        for line in lines:
            worst = max(line["each"], key=lambda each: each["ratio"])
            regret = max(each["regret"] for each in line["each"])
            cells = (str(len(line["each"])), f"{worst['ratio']:.3f}", worst["workload"], f"{100 * regret:.1f} %")
            rows.append((line["device"], line["network"], *cells))
        return rows
    rows = [("device", "layers", "mappings", "pairs in order, worst layer", "all layers", "best 3 %", "L2 / L1")]
    for line in lines:
        each = line["each"]
        pairs = sum(one["pairs"] for one in each)
        right = sum(one["pairs"] * one["right"] for one in each) / pairs if pairs else 1.0
        cells = (f"{100 * min(one['right'] for one in each):.1f} %", f"{100 * right:.1f} %")
        ratio = f"{min(one['least'] for one in each):.3f} to {max(one['ratio'] for one in each):.3f}"
        rows.append(
            (
                line["device"],
                line["layers"],
                line["mappings"],
                *cells,
                f"+{100 * max(o['best'] for o in each):.1f} %",
                ratio,
            )
        )
    return rows


def show(title: str, rows: list[tuple[str, ...]]) -> None:
    """For a terminal."""
    drawn_ = Table(title=title, title_justify="left")
    for column in rows[0]:
        drawn_.add_column(column, overflow="fold")
    for row in rows[1:]:
        drawn_.add_row(*row)
    Console(width=140).print(drawn_)


def markdown(rows: list[tuple[str, ...]]) -> str:
    """For the docs."""
    lines = [" | ".join(row) for row in rows]
    return "".join(f"| {line} |\n" for line in (lines[0], "---|" * (len(rows[0]) - 1) + "---", *lines[1:]))


if __name__ == "__main__":
    main()
