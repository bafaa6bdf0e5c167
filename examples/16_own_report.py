"""A report of your own: a Markdown table of what each operator of a placed network takes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cyclecast as cc
from text_direction import INPUT, SHAPE, model_file


@dataclass(frozen=True)
class Markdown:
    """Operators, their arrays, and the time that they are busy for one image."""

    suffix = ".md"

    def text(self, info: Mapping[str, Any]) -> str:
        rows = [f"| {each['name']} | {each['arrays']} | {each['busy_fs'] / 1e9:.3g} |" for each in info["operators"]]
        return "\n".join(["| operator | arrays | busy [us] |", "|---|---|---|", *rows, ""])


def main() -> None:
    device = cc.Device.load("isaac")
    placement = cc.place(cc.estimate(cc.load(model_file(), device, shapes={INPUT: SHAPE}), device))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "placed.md"
        cc.write_report(placement, file, form=Markdown())
        print(file.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
