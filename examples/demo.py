"""The main job on a real network: tune it for ISAAC, build it, compare it with onnxruntime, write C, place it, draw it.

The search is exhaustive; the last command tunes one kernel by MetaSchedule's evolution as well, and compares the two.

`make demo` runs this. What it writes lands in demo-out/; a second run reuses the searches of the first.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np

from cyclecast.cli import app
from text_direction import INPUT, SHAPE, line_of_text, model_file

OUT = Path("demo-out")
EVOLUTION = Path(__file__).with_name("04_evolution.py")


def main() -> None:
    model = OUT / "text_direction.onnx"
    OUT.mkdir(exist_ok=True)
    model.write_bytes(model_file().read_bytes())
    np.savez(OUT / "line.npz", **{INPUT: line_of_text()})
    shape = f"{INPUT}={','.join(str(extent) for extent in SHAPE)}"
    search = ("--explain-search", "--out", str(OUT))
    cyclecast("tune", str(model), "--device", "isaac", "--timing", "analytical", "--shape", shape, *search)
    cyclecast("verify", str(OUT), str(model), "--inputs", str(OUT / "line.npz"))
    cyclecast("compile", str(OUT), "--out", str(OUT / "code"))
    cyclecast("place", str(OUT))
    cyclecast("report", str(OUT))
    print(f"\n$ python examples/{EVOLUTION.name} {model}", flush=True)
    sys.argv = [EVOLUTION.name, str(model)]
    runpy.run_path(str(EVOLUTION), run_name="__main__")


def cyclecast(*arguments: str) -> None:
    """Show a command of ours and run it, in this process: TVM is imported once."""
    print(f"\n$ cyclecast {' '.join(arguments)}", flush=True)
    try:
        app(arguments)
    except SystemExit as end:
        if end.code:
            raise


if __name__ == "__main__":
    main()
