"""A second run of tune: which results are reused, and which are computed again."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner, Result

import networks
from cyclecast import frontend
from cyclecast.cli import app
from cyclecast.cli._again import MOST_OF_FILES, TuneQuestion
from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.frontend import input_shapes
from cyclecast.frontend import load_quantised as load
from cyclecast.storage import versions
from cyclecast.storage.folders import output
from cyclecast.workflow import building, verification

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
    monkeypatch.setattr(building, "compile", None)
    assert run("tune", model, "--out", tuned, "--force", *QUICK).exit_code == 0
    assert (tuned / "module.so").read_bytes() == before


def test_the_same_question_has_its_answer_in_the_folder(
    tuned: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if everything had been done again."""
    options = ("tune", model, "--out", tuned, "--json", *QUICK)
    done = run(*options, "--force").stdout
    monkeypatch.setattr(frontend, "load_quantised", None)
    assert run(*options).stdout == done
    assert json.loads(done)["total"]["reused"] == len(json.loads(done)["workloads"])


WORDS = "tune network.onnx --out out --device mine.yaml --calibrate samples.npz --no-verify"
ASKED = (*WORDS.split(), *QUICK)


@pytest.fixture(scope="module")
def asked(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `ASKED` was answered: the weights of the network are in a file of their own."""
    folder = tmp_path_factory.mktemp("asked")
    (folder / "mine.yaml").write_text(Device.load("tiny").to_yaml())
    onnx.save_model(
        onnx.load(model), folder / "network.onnx", save_as_external_data=True, location="weights", size_threshold=16
    )
    write_samples(folder, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(*ASKED).exit_code == 0
    return folder


def write_samples(folder: Path, value: float) -> None:
    ((name, (shape, kind)),) = input_shapes(folder / "network.onnx", {}).items()
    samples: Any = {name: np.full((1, *shape), value, kind)}
    np.savez(folder / "samples.npz", **samples)


def change_file(folder: Path, change: str) -> None:
    match change:
        case "model":
            more = onnx.ModelProto(producer_name="another").SerializeToString()
            (folder / "network.onnx").write_bytes((folder / "network.onnx").read_bytes() + more)
        case "weights":
            (folder / "weights").write_bytes((folder / "weights").read_bytes()[:-1] + b"\1")
        case "samples":
            write_samples(folder, 1.0)
        case "device":
            (folder / "mine.yaml").write_text((folder / "mine.yaml").read_text().replace("name: tiny", "name: other"))
        case "records":
            (folder / "out" / "records.db").unlink()
        case "module":
            (folder / "out" / "module.so").write_bytes(b"not what it was")
        case "place":
            with output(folder / "out", "place") as place:
                (place / "mappings.json").write_text("{}")


@pytest.mark.parametrize(
    "change",
    ["nothing", "model", "weights", "samples", "option", "device", "versions", "records", "module", "place", "plugin"],
)
def test_another_question_is_answered_anew(
    change: str, asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is that has changed since: the network is loaded again."""
    folder = tmp_path / "asked"
    shutil.copytree(asked, folder)
    monkeypatch.chdir(folder)
    loaded: list[Any] = []

    def counted(*given: Any, **more: Any) -> Any:
        loaded.append(given)
        return load(*given, **more)

    monkeypatch.setattr(frontend, "load_quantised", counted)
    change_file(folder, change)
    if change == "versions":
        monkeypatch.setattr(versions, "built_by", lambda: "another")
    if change == "plugin":
        monkeypatch.setattr("cyclecast.cli._again.entry_points", lambda group: [group])
    more = {"option": ["--seed", "1"], "module": ["--force"]}.get(change, [])
    assert (run(*ASKED, *more).exit_code, len(loaded)) == (0, change != "nothing")


@pytest.mark.parametrize("text", ["[]", "{}", '{"workloads": 5}', '{"workloads": [], "total": {}}'])
def test_a_result_that_was_edited_is_found_out_anew(text: str, tuned: Path, model: Path, tmp_path: Path) -> None:
    """Also where its digest was edited, too."""
    out = tmp_path / "out"
    shutil.copytree(tuned, out)
    (out / "result.json").write_text(text)
    manifest = json.loads((out / "cyclecast.json").read_text())
    manifest["files"]["tune"]["result.json"] = sha256(text.encode()).hexdigest()
    (out / "cyclecast.json").write_text(json.dumps(manifest))
    assert run("tune", model, "--out", out, *QUICK).exit_code == 0
    assert json.loads((out / "result.json").read_text())["workloads"]


def test_a_comparison_that_failed_is_done_again(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk may have been full."""
    options = ("tune", model, "--out", tmp_path / "out", "--json", *QUICK)

    def fail(*given: Any, **more: Any) -> Any:
        raise OptionError("the disk", "it is full")

    with monkeypatch.context() as patch:
        patch.setattr(verification, "verify", fail)
        assert json.loads(run(*options).stdout)["verification"] == {"error": "the disk: it is full"}
    assert "outputs" in json.loads(run(*options).stdout)["verification"]


def test_the_answer_does_not_repeat_what_was_searched_again(model: Path, tmp_path: Path) -> None:
    """The records are believed now."""
    options = ("tune", model, "--out", tmp_path / "out", *QUICK)
    assert run(*options).exit_code == 0
    with closing(sqlite3.connect(tmp_path / "out" / "records.db")) as database, database:
        database.execute("DELETE FROM record")
    first, second, third = run(*options), run(*options), run(*options, "--force")
    assert ("searched again" in first.stdout, second.stdout) == (True, third.stdout)


@pytest.mark.parametrize("place", ["/dev/zero", "../" * 30 + "dev/zero", "pipe"])
def test_weights_without_an_end_are_not_read(place: str, model: Path, tmp_path: Path) -> None:
    """A network is a stranger's file: what it names may be a device or a pipe."""
    network = onnx.load(model)
    onnx.external_data_helper.set_external_data(network.graph.initializer[0], place)
    network.graph.initializer[0].ClearField("raw_data")
    (tmp_path / "network.onnx").write_bytes(network.SerializeToString())
    os.mkfifo(tmp_path / "pipe")
    assert TuneQuestion.of(tmp_path / "network.onnx", None, []) is None


def test_files_larger_than_networks_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(MOST_OF_FILES + 1)
    assert TuneQuestion.of(tmp_path / "large.onnx", None, []) is None
    assert TuneQuestion.of(tmp_path / "none.onnx", tmp_path, []) is None


@pytest.mark.parametrize("change", ["versions", "mappings", "program"])
def test_a_program_of_other_files_or_versions_is_built_again(
    change: str, tuned: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, build = tmp_path / "out", building.compile
    shutil.copytree(tuned, out)
    built: list[Any] = []

    def counted(tuned: Any) -> Any:
        built.append(tuned)
        return build(tuned)

    monkeypatch.setattr(building, "compile", counted)
    options = [*QUICK]
    if change == "versions":
        monkeypatch.setattr(versions, "built_by", lambda: "another")
    elif change == "mappings":
        options += ["--device", "tiny"]
    else:
        (out / "module.so").write_bytes(b"not what it was")
        options.append("--force")
    assert run("tune", model, "--out", out, *options).exit_code == 0
    assert len(built) == 1
    (output,) = json.loads(run("verify", out, model, "--json").stdout)["outputs"]
    assert output["cosine"] > 0.999
