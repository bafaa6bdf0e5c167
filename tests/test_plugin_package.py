"""A package outside the tree, really installed: every kind that it announces is found by its name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.tvm, pytest.mark.slow]

PACKAGE = Path(__file__).parent / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip has installed the package into."""
    folder = tmp_path_factory.mktemp("plugin")
    for file in PACKAGE.glob("*.*"):
        (folder / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder / "site")]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(folder)], check=True, env=os.environ)
    return folder / "site"


def cyclecast(installed: Path, folder: Path, *words: str) -> Any:
    path = os.pathsep.join([str(installed), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "cyclecast.cli", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_kind_is_found_by_its_name(installed: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "matrix.npy", np.random.default_rng(0).integers(-9, 9, (200, 40)))
    tune = ("tune", "matrix.npy", "--json", "--out")
    found = cyclecast(installed, tmp_path, *tune, "a", "--timing", "steps:cycles=3", "--strategy", "only_default")
    assert found["verification"]["runtime"] == "NumPy"
    assert found["verification"]["outputs"][0]["maximum_error"] == 0
    (workload,) = found["workloads"]
    assert [phase["name"] for phase in workload["timing"]["phases"]] == ["steps"]
    assert workload["search"]["strategy"] == "only the default"
    opened = cyclecast(installed, tmp_path, *tune, "b", "--rule", "half_rows", "--mutator", "any_decision")
    assert "mappings of HalfRows cannot be listed" in opened["workloads"][0]["search"]["note"]


def test_it_imports_no_private_name() -> None:
    text = (PACKAGE / "example_plugin.py").read_text(encoding="utf-8")
    assert re.findall(r"from (cyclecast\S*) import", text)
    assert not re.findall(r"cyclecast\S*\._\w+", text)
