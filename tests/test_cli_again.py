"""A second run of tune: what is kept, and what is built again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import networks
from cyclecast import building
from cyclecast.cli import app

pytestmark = pytest.mark.tvm

QUICK = ("--trials", "4", "--strategy", "random")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.tiny_cnn(tmp_path_factory.mktemp("cli") / "tiny_cnn.onnx")


@pytest.fixture(scope="module")
def tuned(model: Path) -> Path:
    """A folder that tune has written."""
    out = model.parent / "out"
    assert run("tune", model, "--out", out, *QUICK).exit_code == 0
    return out


def test_an_unchanged_program_is_not_built_again(tuned: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (tuned / "module.so").read_bytes()
    monkeypatch.setattr(building, "build", None)
    assert run("tune", model, "--out", tuned, *QUICK).exit_code == 0
    assert (tuned / "module.so").read_bytes() == before


@pytest.mark.parametrize("change", ["versions", "mappings", "program"])
def test_a_program_of_other_files_or_versions_is_built_again(
    change: str, tuned: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, build = tmp_path / "out", building.build
    shutil.copytree(tuned, out)
    built: list[Any] = []

    def counted(tuned: Any) -> Any:
        built.append(tuned)
        return build(tuned)

    monkeypatch.setattr(building, "build", counted)
    options = [*QUICK]
    if change == "versions":
        monkeypatch.setattr(building, "_built_by", lambda: "another")
    elif change == "mappings":
        options += ["--device", "tiny"]
    else:
        (out / "module.so").write_bytes(b"not what it was")
        options.append("--force")
    assert run("tune", model, "--out", out, *options).exit_code == 0
    assert len(built) == 1
    (output,) = json.loads(run("verify", out, model, "--json").stdout)["outputs"]
    assert output["cosine"] > 0.999
