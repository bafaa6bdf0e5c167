"""Every open network through cyclecast: import, tune, build, run on real inputs, compare with its own runtime.

`python bench/models.py [NAME ...]` measures in a process for each; `--docs` writes `docs/models.md`, where the rows of
networks that were not measured stay. Needs what `requirements/models.txt` pins.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "out" / "models"
PAGE = FOLDER.parent / "docs" / "models.md"
COLUMNS = (
    "network", "kernels", "beside arrays", "GMAC", "on arrays", "import", "tune", "build", "cosine", "largest error",
    "within 1 unit", "labels", "memory",
)  # fmt: skip


def measure(name: str) -> dict[str, Any]:
    """One network, in this process."""
    from zoo import entries

    import cyclecast as cc
    from cyclecast.frontend import input_shapes, load, reference

    entry = entries()[name]
    with tempfile.TemporaryDirectory() as folder:
        source = entry.source(Path(folder))
        samples = list(entry.samples())
        stacked = {key: np.stack([sample[key] for sample in samples]) for key in samples[0]}
        clock = [time.monotonic()]
        network = load(source, shapes=entry.shapes, calibration=stacked if entry.calibrate else None)
        clock.append(time.monotonic())
        tuned = cc.tune(network, cc.Device.load("isaac"))
        clock.append(time.monotonic())
        program = cc.compile(tuned)
        clock.append(time.monotonic())
        order = list(input_shapes(source, entry.shapes))
        shown = samples[: 2 if entry.slow else 20]
        pairs = [(reference(source, sample), program(*(sample[key] for key in order))) for sample in shown]
        clock.append(time.monotonic())
    spent = dict(zip(("import", "tune", "build", "run"), np.diff(clock).tolist(), strict=True))
    reasons = sorted({f"{operator.name}: {operator.reason}" for operator in network.host if operator.macs})
    return {
        "name": name,
        "kernels": sum(member.count for member in network.members),
        "host": sum(operator.count for operator in network.host),
        "macs": network.macs,
        "all_macs": network.macs + network.host_macs,
        "reasons": reasons,
        "seconds": spent,
        "cycles": sum(part.member.count * part.timing.cycles for part in tuned.workloads),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "samples": len(shown),
        **compared(pairs, entry.quantised),
        **(labelled(pairs, entry.labels()) if entry.labels else {}),
    }


def compared(pairs: list[Any], quantised: bool) -> dict[str, Any]:
    """How alike the outputs are, over all samples and outputs."""
    expected = _flat([part for theirs, _ in pairs for part in theirs.values()])
    computed = _flat([part for _, ours in pairs for part in ours])
    length = float(np.linalg.norm(expected) * np.linalg.norm(computed))
    apart = np.abs(expected - computed)
    return {
        "cosine": float(expected @ computed / length) if length else float(np.array_equal(expected, computed)),
        "error": float(apart.max()),
        "largest": float(np.abs(expected).max()),
        "within_unit": float((apart <= 1.01 * unit(np.r_[expected, computed])).mean()) if quantised else None,
    }


def _flat(parts: list[Any]) -> Any:
    return np.concatenate([np.ravel(np.asarray(part, "float64")) for part in parts])


def unit(values: Any) -> float:
    """The step between quantised values."""
    return float(np.diff(np.unique(values.round(6))).min())


def labelled(pairs: list[Any], labels: Any) -> dict[str, Any]:
    """How many labels are right by the reference and by us, and how many of ours are the reference's."""
    theirs = [int(np.argmax(next(iter(left.values())))) for left, _ in pairs]
    ours = [int(np.argmax(right[0])) for _, right in pairs]
    return {
        "labels": len(labels),
        "reference_right": sum(a == b for a, b in zip(theirs, labels, strict=True)),
        "right": sum(a == b for a, b in zip(ours, labels, strict=True)),
        "agree": sum(a == b for a, b in zip(theirs, ours, strict=True)),
    }


def cells(result: dict[str, Any]) -> list[str]:
    """A row of the table."""
    seconds = result["seconds"]
    labels = f"{result['right']} / {result['reference_right']}, {result['agree']} agree" if "labels" in result else ""
    unit = result["within_unit"]
    return [
        result["name"],
        f"{result['kernels']}",
        f"{result['host']}",
        f"{result['all_macs'] / 1e9:.3f}",
        f"{result['macs'] / result['all_macs']:.1%}",
        *(f"{seconds[part]:.1f} s" for part in ("import", "tune", "build")),
        f"{result['cosine']:.6f}",
        f"{result['error']:.3g} of {result['largest']:.3g}",
        "" if unit is None else f"{unit:.1%}",
        labels,
        f"{result['memory'] / (1 << 30):.1f} GiB",
    ]


def run(name: str) -> None:
    """Measure in a process of its own, and keep the result."""
    program = [sys.executable, __file__, "--one", name]
    done = subprocess.run(program, capture_output=True, text=True, cwd=FOLDER)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        Console(stderr=True).print(f"{name}: {(done.stderr.strip().splitlines() or ['no result'])[-1]}", markup=False)
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(lines[-1] + "\n", encoding="utf-8")


def page(results: list[dict[str, Any]], names: Iterable[str], before: str = "") -> str:
    """The table as a page of the documentation; of networks without a result, the rows of the page `before` stay."""
    rows = {parts[0].strip(): line for line in before.splitlines() if (parts := line.split("|")[1:])}
    rows |= {result["name"]: _line(cells(result)) for result in results}
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS)), *(rows[name] for name in names if name in rows)]
    kept = {line[2:] for line in before.splitlines() if line.startswith("* ")}
    reasons = sorted(kept.union(*(result["reasons"] for result in results)))
    return PAGE_TEXT.format(table="\n".join(lines), reasons="\n".join(f"* {reason}" for reason in reasons))


def _line(row: Iterable[str]) -> str:
    return f"| {' | '.join(row)} |"


PAGE_TEXT = """# Open networks, measured

Written by `python bench/models.py --docs`. Every network was imported, tuned for `isaac` with the exhaustive search and
the analytical timing model, built, and run on real inputs beside its own runtime: onnxruntime, LiteRT or PyTorch. Times
are of two cores that had other work as well: up to ten times what an idle machine takes. The rows of VGG-16, of the
constant and of the quantised networks are older, and from a quieter one.

{table}

*kernels*: operators on arrays. *on arrays*: their share of all multiply-accumulates. *cosine*, *largest error*: over
all outputs of all samples. *within 1 unit*: of networks that are quantised already, the share of outputs that are at
most one unit in the last place from their own runtime's. *labels*: right by us / by the reference, of 20 images.
`_static` is quantised here from the samples themselves, `_qdq` and `_qoperator` are so by onnxruntime, `_int8` came
quantised (`ds_cnn` and `autoencoder` run on noise), `_fp16` with weights in half precision, `light_` has constant
weights (structure only); the others are quantised when they run. Networks of torchvision, timm and transformers have
random weights, except MiniLM.

Some rows differ for reasons of their own. With 16 bits (`isaac16`), on up to three samples, `pose_landmarks_fp16` has
cosines of 0.9955 and more, `speaker_encoder` and `ppocr6_reader` of 0.9999: what is lost is lost to 8 bits. The largest
output of the first is a mask of a person, and the photographs show none; the second carries its state through 160 steps
in each of three layers. `smart_turn_int8` has one output, from 0 to 1, which its own runtime, too, moves by 0.06 where
5 of its 64,000 inputs move by a step.

Multiply-accumulates that stay on the host:

{reasons}
"""


def main(arguments: list[str]) -> None:
    from zoo import entries

    if arguments[:1] == ["--one"]:
        sys.stdout.write(json.dumps(measure(arguments[1])) + "\n")
        return
    names = [name for name in arguments if name != "--docs"] or list(entries())
    if arguments != ["--docs"]:
        for name in names:
            run(name)
            Console().print(name)
    results = [json.loads(file.read_text()) for name in entries() if (file := RESULTS / f"{name}.json").is_file()]
    if "--docs" in arguments:
        before = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
        PAGE.write_text(page(results, entries(), before), encoding="utf-8")
    table = Table(*COLUMNS)
    for result in results:
        table.add_row(*cells(result))
    Console(width=200).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
