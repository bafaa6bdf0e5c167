"""Digests of what the verbs print and write, to see that a change of the code changed none of it.

    python bench/frozen.py before.json
    python bench/frozen.py after.json --against before.json

Three networks on every device of the library by three strategies, with seeds: `tune`, `estimate`, `place` and `report`
with `--json`, the page of `report`, and the project of `compile`. The second run names what differs and exits with 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import chdir
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from rich import print
from rich.progress import track
from typer.testing import CliRunner

from cyclecast.cli import app

TESTS = Path(__file__).parents[1] / "tests"
STRATEGIES = ("exhaustive", "random", "evolution")
SEEDED = ("--trials", "16", "--seed", "3")


def networks(folder: Path) -> Iterator[str]:
    """The files of three networks, written into a folder."""
    sys.path.insert(0, str(TESTS))
    import c_projects
    import networks as made

    made.tiny_cnn(folder / "tiny.onnx")
    made.attention_block(folder / "block.onnx")
    c_projects.mlperf_tiny("image_classification", folder).rename(folder / "resnet8.tflite")
    yield from ("tiny.onnx", "block.onnx", "resnet8.tflite")


def devices() -> list[str]:
    """The names of the library's devices."""
    return sorted(file.name.removesuffix(".yaml") for file in (files("cyclecast.device") / "library").iterdir())


def digests(network: str, device: str, strategy: str) -> Iterator[tuple[str, str]]:
    """What each verb says, by name; files by their path."""
    out = f"{network}-{device}-{strategy}"
    given = (network, "--device", device)
    yield "tune", printed("tune", *given, "--out", out, "--strategy", strategy, *SEEDED, "--no-verify")
    yield "place", printed("place", out)
    yield "report", printed("report", out, "--out", f"{out}.html")
    page = Path(f"{out}.html")
    yield "page", digest(page.read_bytes()) if page.exists() else ""  # some networks do not fit in a device
    if strategy == STRATEGIES[0]:
        yield "estimate", printed("estimate", *given)
        yield "compile", printed("compile", out, "--out", f"{out}-c")
        yield from ((f"c/{path.name}", digest(path.read_bytes())) for path in sorted(Path(f"{out}-c").glob("*")))
    kept = ("mappings.json", "device.yaml", "placement.json", "traces")
    found = sorted(path for path in Path(out).rglob("*") if path.relative_to(out).parts[0] in kept and path.is_file())
    yield from ((str(path.relative_to(out)), digest(path.read_bytes())) for path in found)


def printed(*words: str) -> str:
    """The digest of what a command prints, and its exit code."""
    result = CliRunner().invoke(app, [*words, "--json"])
    return f"{result.exit_code} {digest(result.stdout.encode())}"


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path)
    options.add_argument("--against", type=Path)
    given = options.parse_args()
    out, before = given.out.resolve(), json.loads(given.against.read_text()) if given.against else {}
    with TemporaryDirectory() as folder, chdir(folder):
        names = list(networks(Path(folder)))
        cases = [(name, device, strategy) for name in names for device in devices() for strategy in STRATEGIES]
        found = {"/".join([*case, name]): value for case in track(cases) for name, value in digests(*case)}
    out.write_text(json.dumps(found, indent=1) + "\n")
    if given.against:
        different = [name for name in sorted(before | found) if before.get(name) != found.get(name)]
        print(f"{len(found):,} digests, {len(different):,} differ", *different[:40], sep="\n")
        sys.exit(bool(different))


if __name__ == "__main__":
    main()
