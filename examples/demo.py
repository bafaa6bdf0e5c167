"""The main job on a real network: tune it for ISAAC, build it, compare it with onnxruntime, write C, place it, draw it.

The search is exhaustive; the last command tunes one kernel by MetaSchedule's evolution as well, and compares the two.

`make demo` runs this. What it writes lands in demo-out/; a second run reuses the searches of the first.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

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
    show(f"python examples/{EVOLUTION.name} {model}", str(EVOLUTION), str(model))


def cyclecast(*arguments: str) -> None:
    """Show a command of ours and run it."""
    show(f"cyclecast {' '.join(arguments)}", "-m", "cyclecast.cli", *arguments)


def show(command: str, *arguments: str) -> None:
    """Show a command and run Python with these arguments."""
    print(f"\n$ {command}", flush=True)
    done = subprocess.run([sys.executable, *arguments])
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
