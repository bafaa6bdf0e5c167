"""The main job on a real network: tune it for ISAAC, build it, compare it with onnxruntime, write C, place it, draw it.

`make demo` runs this. What it writes lands in demo-out/; a second run reuses the searches of the first.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from text_direction import INPUT, SHAPE, line_of_text, model_file

OUT = Path("demo-out")


def main() -> None:
    model = OUT / "text_direction.onnx"
    OUT.mkdir(exist_ok=True)
    model.write_bytes(model_file().read_bytes())
    np.savez(OUT / "line.npz", **{INPUT: line_of_text()})
    shape = f"{INPUT}={','.join(str(extent) for extent in SHAPE)}"
    search = ("--explain-search", "--out", str(OUT))
    cyclecast("tune", str(model), "--device", "isaac", "--timing", "analytical", "--shape", shape, *search)
    cyclecast("verify", str(OUT), str(model), "--inputs", str(OUT / "line.npz"), "--shape", shape)
    cyclecast("verify", str(OUT), str(model), "--shape", shape)
    cyclecast("compile", str(OUT), "--out", str(OUT / "code"))
    cyclecast("place", str(OUT))
    cyclecast("report", str(OUT))


def cyclecast(*arguments: str) -> None:
    """Show a command and run it."""
    print(f"\n$ cyclecast {' '.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "cyclecast.cli", *arguments])
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
