"""The command line: what it prints, what it leaves behind, and how it answers mistakes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper
from typer.testing import CliRunner, Result

import networks
from cyclecast import plugins
from cyclecast.cli import app
from cyclecast.device import Device
from cyclecast.mapping import Mapping
from cyclecast.search import _exhaustive
from cyclecast.timing import Analytical, Timing

QUICK = ("--trials", "4", "--strategy", "random")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def as_json(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.tiny_cnn(tmp_path_factory.mktemp("cli") / "tiny_cnn.onnx")


@pytest.fixture(scope="module")
def tuned(model: Path) -> Path:
    """A folder that tune has written."""
    out = model.parent / "out"
    assert run("tune", model, "--out", out, *QUICK).exit_code == 0
    return out


class TestDevice:
    def test_list_names_the_library(self) -> None:
        assert as_json("device", "list") == {"devices": list(Device.library())}
        assert run("device", "list").stdout.split() == list(Device.library())

    def test_check_says_what_follows(self) -> None:
        assert as_json("device", "check", "isaac")["arrays"] == 168 * 12 * 8
        assert as_json("device", "check", "isaac")["exact"] is True

    def test_check_says_what_the_device_can_do(self) -> None:
        isaac = as_json("device", "check", "isaac16")
        assert isaac["peak_tops"] == pytest.approx(16128 * 128 * 16 * 2 / 1.6e-6 / 1e12)
        assert isaac["watts"] == pytest.approx(65.8, abs=0.1)  # Table I of the paper
        assert isaac["square_millimetres"] == pytest.approx(85.4, abs=0.1)
        assert isaac["tops_per_watt"] == isaac["peak_tops"] / isaac["watts"]
        assert "peak 41.29 TOPS, 0.6274 TOPS/W, 65.81 W, 85.42 mm2" in run("device", "check", "isaac16").stdout
        tiny = as_json("device", "check", "tiny")
        assert [tiny[name] for name in ("watts", "tops_per_watt", "square_millimetres")] == [None] * 3
        assert "power and area are not stated" in run("device", "check", "tiny").stdout

    def test_check_knows_digital_arrays(self, tmp_path: Path) -> None:
        said: dict[str, Any] = Device.load("tiny").to_json()
        said["array"] = {name: value for name, value in said["array"].items() if not name.startswith("adc")}
        said["array"]["digital"] = True
        path = tmp_path / "digital.yaml"
        path.write_text(Device.from_json(said).to_yaml(), encoding="utf-8")
        assert as_json("device", "check", path)["adc_bits"] is None
        assert "digital sums (exact)" in run("device", "check", path).stdout

    def test_check_warns_of_lossy_converters(self, tmp_path: Path) -> None:
        path = tmp_path / "lossy.yaml"
        path.write_text(Device.load("isaac").vary("array.adc_bits", 6).to_yaml(), encoding="utf-8")
        assert "sums saturate, exact ones need 8 bits" in run("device", "check", path).stdout

    def test_show_prints_a_file_that_loads_again(self, tmp_path: Path) -> None:
        path = tmp_path / "again.yaml"
        path.write_text(run("device", "show", "isaac").stdout, encoding="utf-8")
        assert Device.load(path) == Device.load("isaac")

    def test_schema_is_json(self) -> None:
        assert json.loads(run("device", "schema").stdout)["title"] == "Device"


@pytest.mark.tvm
class TestTune:
    def test_leaves_everything_that_it_says(self, tuned: Path) -> None:
        names = {"records.db", "module.so", "network.json", "program.json", "mappings.json", "traces", "device.yaml"}
        names |= {"result.json", "cyclecast.json"}
        assert {path.name for path in tuned.iterdir()} == names
        result = json.loads((tuned / "result.json").read_text(encoding="utf-8"))
        kernels = {workload["kernel"] for workload in result["workloads"]}
        assert set(json.loads((tuned / "mappings.json").read_text(encoding="utf-8"))) == kernels
        assert {path.stem for path in (tuned / "traces").iterdir()} == kernels

    def test_a_second_run_reuses_every_search(self, tuned: Path, model: Path) -> None:
        before = json.loads((tuned / "result.json").read_text(encoding="utf-8"))
        again = as_json("tune", model, "--out", tuned, *QUICK)
        assert again["total"]["reused"] == len(again["workloads"])
        assert [w["mapping"] for w in again["workloads"]] == [w["mapping"] for w in before["workloads"]]
        assert f"{len(again['workloads'])} of {len(again['workloads'])} workloads reused" in run(
            "tune", model, "--out", tuned, *QUICK
        ).stdout.replace("\n", " ")

    def test_totals_add_up(self, tuned: Path) -> None:
        result = json.loads((tuned / "result.json").read_text(encoding="utf-8"))
        assert result["total"]["fs"] == sum(w["count"] * w["timing"]["total_fs"] for w in result["workloads"])
        assert result["total"]["macs"] == sum(w["count"] * w["macs"] for w in result["workloads"])

    def test_totals_say_what_the_host_takes(self, tuned: Path) -> None:
        result = json.loads((tuned / "result.json").read_text(encoding="utf-8"))
        total = result["total"]
        assert total["host_fs"] == sum(operator["fs"] for operator in result["host"])
        assert total["with_host_fs"] == total["fs"] + total["units_fs"] + total["host_fs"]
        assert total["units_fs"] > 0
        assert {each["name"] for each in result["units"]} >= {"requantise", "relu"}
        assert {operator["name"] for operator in result["host"] if operator["fs"] == 0} <= {"reshape"}
        assert 0 < total["coverage"] < 1

    @pytest.mark.parametrize("timing", ["analytical", "poster"])
    def test_every_time_lies_between_its_bounds(self, timing: str, model: Path) -> None:
        for workload in as_json("estimate", model, "--timing", timing)["workloads"]:
            why = workload["why"]
            assert why["lower_fs"] <= workload["timing"]["total_fs"] <= why["upper_fs"]
            assert why["warning"] is None
            assert (why["energy"] is None) == (timing == "poster")

    def test_estimate_explains(self, model: Path) -> None:
        printed = run("estimate", model).stdout
        for text in ("helps most", "x work", "hyper_transport", "on the host", "by its roofline", "of all operations"):
            assert text in printed

    def test_verify_agrees_with_onnxruntime(self, tuned: Path, model: Path) -> None:
        (output,) = as_json("verify", tuned, model)["outputs"]
        assert output["cosine"] > 0.999
        assert output["maximum_error"] < 0.05 * output["largest"]

    def test_estimate_with_the_poster(self, model: Path) -> None:
        result = as_json("estimate", model, "--timing", "poster", "--device", "tiny")
        assert {phase["name"] for workload in result["workloads"] for phase in workload["timing"]["phases"]} == {
            "compute",
            "fill",
        }


@dataclass(frozen=True)
class OneByOne:
    """A timing model as a plug-in has it."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        return Analytical().time(mapping, device)


VARIANTS = {"timing": {"one-by-one": OneByOne}}


@pytest.mark.tvm
class TestSearch:
    def test_json_holds_the_proof(self, model: Path, tmp_path: Path) -> None:
        for workload in as_json("tune", model, "--out", tmp_path, "--device", "tiny")["workloads"]:
            search = workload["search"]
            assert (search["strategy"], search["note"]) == ("exhaustive", "")
            assert search["certificate"]["gap"] == 0
            assert search["certificate"]["best"] == search["certificate"]["lower"] == workload["timing"]["total_fs"]
            assert {sketch["rules"] for sketch in search["sketches"]} >= {"im2col"}

    def test_explain_search_shows_rules_and_proof(self, model: Path, tmp_path: Path) -> None:
        arguments = ("tune", model, "--out", tmp_path, "--device", "tiny")
        assert "\nsearch " not in run(*arguments).stdout
        _, _, printed = run(*arguments, "--explain-search").stdout.partition("\nsearch ")
        searches, _, rules = printed.partition("\nrules ")
        workloads = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["workloads"]
        assert searches.count(" 0.0% ") == len(workloads)
        assert {of["rules"] for workload in workloads for of in workload["search"]["sketches"]} <= {*rules.split()}

    def test_a_slow_plug_in_is_searched_by_evolution_which_is_said(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entry = EntryPoint(name="mine", value=f"{__name__}:VARIANTS", group="cyclecast")
        monkeypatch.setattr(plugins, "entry_points", lambda group: [entry])
        monkeypatch.setattr(_exhaustive, "SLOW", 0)
        arguments = ("tune", model, "--out", tmp_path, "--device", "tiny", "--timing", "one-by-one", "--trials", 4)
        result = run(*arguments, "--explain-search")
        assert result.exit_code == 0, result.output
        assert "evolution: the timing model takes " in result.stdout
        assert "ms a mapping, too long to look at all" in result.stdout
        for workload in as_json(*arguments)["workloads"]:
            search = workload["search"]
            assert (search["strategy"], search["certificate"], workload["reused"]) == ("evolution", None, True)
            assert workload["candidates"] <= 5  # the default and four trials


def unsupported(path: Path) -> Path:
    """A network with a recurrent operator, which TVM's importer does not know."""
    node = helper.make_node("LSTM", ["input", "w", "r"], ["", "output"], hidden_size=2, name="memory", clip=1.0)
    weights = [helper.make_tensor("w", 1, [1, 8, 3], [0.1] * 24), helper.make_tensor("r", 1, [1, 8, 2], [0.1] * 16)]
    graph = helper.make_graph(
        [node],
        "lstm",
        [helper.make_tensor_value_info("input", 1, [4, 1, 3])],
        [helper.make_tensor_value_info("output", 1, [1, 1, 2])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
    return path


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def stubborn_device(path: Path) -> Path:
    """Two arrays, which no network may write while it runs."""
    device = Device.load("tiny").vary_all(
        {"levels.pe.count": 1, "levels.cu.count": 1, "array.write.during_inference": False}
    )
    path.write_text(device.to_yaml(), encoding="utf-8")
    return path


MISTAKES: dict[str, tuple[Callable[[Path], list[Any]], str, str]] = {
    "missing file": (lambda folder: ["nowhere.onnx"], "there is no such file", "another path"),
    "folder": (lambda folder: [folder], "its suffix ''", "exporting it to ONNX"),
    "empty file": (lambda folder: [write(folder / "empty.onnx", b"")], "it holds no operators", "exporting it again"),
    "corrupt file": (
        lambda folder: [write(folder / "bad.onnx", networks.tiny_cnn(folder / "good.onnx").read_bytes()[:3000])],
        "it cannot be read as ONNX",
        "exporting it again",
    ),
    "unsupported operator": (
        lambda folder: [unsupported(folder / "lstm.onnx")],
        "operators LSTM (1: memory)",
        "exporting it with constant weights, default activations and a fixed length of at most 256 steps",
    ),
    "open shape": (
        lambda folder: [networks.attention_block(folder / "open.onnx", tokens="tokens")],
        "dimension 1 is open (tokens)",
        "--shape input=1,N,32",
    ),
    "unknown input": (
        lambda folder: [networks.tiny_cnn(folder / "a.onnx"), "--shape", "y=1,2"],
        "there is no such input, there are input",
        "one of these",
    ),
    "bad shape": (
        lambda folder: [networks.tiny_cnn(folder / "a.onnx"), "--shape", "input=1,x"],
        "it must be NAME=N,N,...",
        "--shape input=1,3,224,224",
    ),
    "unknown timing model": (
        lambda folder: [networks.tiny_cnn(folder / "a.onnx"), "--timing", "magic"],
        "no such timing model",
        "analytical",
    ),
    "unknown timing option": (
        lambda folder: [networks.tiny_cnn(folder / "a.onnx"), "--timing", "fixed:speed=1"],
        "no option 'speed'",
        "cycles",
    ),
    "timing option out of range": (
        lambda folder: [networks.tiny_cnn(folder / "a.onnx"), "--timing", "fixed:cycles=-1"],
        "time does not run backwards",
        "fixed:cycles=1",
    ),
    "weights that do not fit": (
        lambda folder: [networks.tiny_cnn(folder / "a.onnx"), "--device", stubborn_device(folder / "two.yaml")],
        "the device has 2 arrays and writes none during inference",
        "array.write.during_inference: true",
    ),
}


@pytest.mark.tvm
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_message_and_exit_code_2(mistake: str, tmp_path: Path) -> None:
    arguments, demand, lever = MISTAKES[mistake]
    given = arguments(tmp_path)
    result = run("estimate", *given)
    message = result.stderr.replace("\n", " ")
    assert (result.exit_code, result.stdout) == (2, "")
    table, error, _ = message.partition("error: ")
    assert error
    assert (not table) or "operators that cannot be imported" in table
    assert demand in message
    assert lever in message
    assert "Traceback" not in message
    error = json.loads(run("estimate", *given, "--json").stdout)["error"]
    assert set(error) - {"operators"} == {"kind", "where", "demand", "bound", "lever"}
    assert ("operators" in error) == bool(table)


@pytest.mark.tvm
def test_a_mistake_leaves_the_records_alone(tuned: Path, model: Path) -> None:
    before = (tuned / "records.db").read_bytes()
    assert run("tune", model, "--out", tuned, "--strategy", "magic").exit_code == 2
    assert run("tune", "nowhere.onnx", "--out", tuned).exit_code == 2
    assert (tuned / "records.db").read_bytes() == before


@pytest.mark.tvm
@pytest.mark.parametrize(
    "strategy",
    [
        "evolution:population=0",
        "evolution:random_share=2",
        f"evolution:population={10**20}",
        "random:seed=1",
    ],
)
def test_strategies_out_of_range(strategy: str, model: Path, tmp_path: Path) -> None:
    result = run("tune", model, "--out", tmp_path / "out", "--strategy", strategy)
    assert (result.exit_code, result.stderr.count("error:")) == (2, 1)


@pytest.mark.tvm
@pytest.mark.parametrize("blocked", ["mappings.json", "module.so", "result.json"])
def test_what_cannot_be_written(blocked: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / blocked).mkdir()
    result = run("tune", model, "--out", tmp_path, *QUICK)
    assert (result.exit_code, result.stderr.count("error:")) == (2, 1)
    assert blocked in result.stderr.replace("\n", "")


@pytest.mark.tvm
@pytest.mark.parametrize("option", ["--shape=input=99999999999999999999,3,16,16", "--seed=99999999999999999999"])
def test_huge_numbers(option: str, model: Path, tmp_path: Path) -> None:
    assert run("tune", model, "--out", tmp_path, *QUICK, option).exit_code == 2


@pytest.mark.tvm
def test_names_are_printed_as_they_are(tmp_path: Path) -> None:
    model = networks.tiny_cnn(tmp_path / "we[ir]d näme.onnx")
    out = tmp_path / "o [bold] :x: ü"
    printed = run("tune", model, "--out", out, *QUICK).stdout
    assert "we[ir]d näme on ISAAC-CE" in printed
    assert "o [bold] :x: ü/: records.db" in printed.replace("\n", "")
    assert run("verify", out, model).exit_code == 0


@pytest.mark.tvm
def test_corrupt_records_are_refused_and_kept(model: Path, tmp_path: Path) -> None:
    records = write(tmp_path / "records.db", b"not a database, but somebody's thesis" * 100)
    result = run("tune", model, "--out", tmp_path, *QUICK)
    assert result.exit_code == 2
    assert "records.db" in result.stderr.replace("\n", "")
    assert records.read_bytes().startswith(b"not a database")


@pytest.mark.tvm
@pytest.mark.slow
def test_killed_tuning_leaves_records_and_completes_later(model: Path, tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "cyclecast.cli", "tune", str(model), "--out", str(tmp_path)]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    records = tmp_path / "records.db"
    while process.poll() is None and not finished_searches(records):
        pass
    process.kill()
    process.wait()
    finished = finished_searches(records)
    result = as_json("tune", model, "--out", tmp_path)
    assert finished >= 1
    assert result["total"]["reused"] >= finished
    assert finished_searches(records) >= len(result["workloads"])


def finished_searches(records: Path) -> int:
    if not records.exists():
        return 0
    try:
        with sqlite3.connect(records) as connection:
            count = int(connection.execute("SELECT count(*) FROM search WHERE finished").fetchone()[0])
        connection.close()
    except sqlite3.OperationalError:
        return 0
    return count


@pytest.mark.parametrize("arguments", [["tune"], ["estimate", "a.onnx", "--colour"], ["paint"], ["device", "check"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_looking_at_devices_does_not_load_tvm() -> None:
    listing = "from cyclecast.cli import app; app(['device', 'list'], standalone_mode=False)"
    code = f"import sys; {listing}; print('tvm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"
