"""The verbs about whole chips: place, report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import cyclecast as cc
import networks
from cyclecast.cli import app
from cyclecast.placement import Placement
from cyclecast.workflow import building

pytestmark = pytest.mark.tvm


HUGE = "1" + 30 * "0"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that tune wrote."""
    folder = tmp_path_factory.mktemp("placement")
    model = networks.attention_block(folder / "block.onnx")
    done = run("tune", model, "--device", "isaac", "--out", folder / "tuned")
    assert done.exit_code == 0, done.output
    return folder / "tuned"


@pytest.fixture
def tuned(written: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return Path(shutil.copytree(written, tmp_path / "tuned"))


def test_place_says_and_writes_what_it_found(tuned: Path) -> None:
    done = run("place", tuned)
    assert done.exit_code == 0, done.output
    assert "on the chip, all weights resident: interval 800 ns" in done.output
    assert "; limited by host (" in done.output
    assert "products of two computed operands: by the host" in done.output
    info = json.loads((tuned / "placement.json").read_text())
    total = info["total"]
    assert total["chip_interval_fs"] == total["arrays_interval_fs"] == 800 * 10**6
    assert total["interval_fs"] == total["host_fs"] > total["chip_interval_fs"]
    assert info["settings"]["objective"] == "interval"


def test_place_says_on_standard_error_what_it_looks_at(tuned: Path) -> None:
    done = run("place", tuned)
    assert "placing" not in done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("placing: ")]
    assert lines[0] == "placing: operators 5/5"
    assert [line.split()[1] for line in lines] == [
        "operators",
        "pipelines",
        "operators",
        "pipelines",
        "segments",
        "simulations",
    ]
    assert "placing" not in run("place", tuned, "--json").stderr


def test_place_as_json(tuned: Path) -> None:
    done = run("place", tuned, "--json", "--objective", "latency", "--dynamic", "arrays", "--chips", "auto")
    info = json.loads(done.stdout)
    assert info["dynamic"] == "arrays"
    assert info["chips"] == 1
    assert len(info["operators"]) == 7
    assert info["wear"]["writes"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--chips", "many"), "--chips: 'many', a number of at most 18 digits, or auto; try --chips auto"),
        (("--chips", "0"), "0 chips, 1 to 1024 are possible"),
        (("--objective", "speed"), "'speed' is not one of 'interval', 'latency', 'energy', 'arrays'"),
        (("--dynamic", "gpu"), "'gpu' is not one of 'host', 'arrays'"),
        (("--timing", "guess"), "guess"),
        (("--arrays", HUGE), f"arrays: {HUGE}, it must be from 1 to 2147483647"),
        (("--batch", HUGE), f"{HUGE} images in a batch, 1 to 2147483647 are possible"),
        (("--chips", HUGE), f"--chips: '{HUGE}', a number of at most 18 digits"),
    ],
)
def test_mistakes(tuned: Path, options: tuple[str, ...], message: str) -> None:
    done = run("place", tuned, *options)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert not (tuned / "placement.json").exists()


def test_a_plan_and_a_budget(tuned: Path, tmp_path: Path) -> None:
    plan, count = tmp_path / "plan.json", 5
    plan.write_text(json.dumps({"replicas": [2] * count}))
    done = run("place", tuned, "--plan", plan, "--json")
    info = json.loads(done.stdout)
    assert {each["replicas"] for each in info["operators"]} == {2}
    assert run("report", tuned, "--json").exit_code == 0, "as placed"
    budget = info["total"]["arrays"]
    less = json.loads(run("place", tuned, "--arrays", budget, "--json").stdout)
    assert less["total"]["arrays"] <= budget
    assert less["total"]["interval_fs"] <= info["total"]["interval_fs"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "plan: 2 numbers of replicas"),
        ('{"conv": 1}', "plan: no operator 'conv'"),
        ("3", "it holds a int"),
        ("{", "it cannot be read as JSON"),
        ("[9999, 1, 1, 1, 1]", "9999 replicas"),
    ],
)
def test_a_plan_that_is_none(tuned: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    done = run("place", tuned, "--plan", tmp_path / "plan.json")
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


def test_estimate_takes_the_mappings_of_a_file(written: Path) -> None:
    model = written.parent / "block.onnx"
    done = run("estimate", model, "--mapping", written / "mappings.json", "--json")
    assert done.exit_code == 0, done.output
    info, tuned = json.loads(done.stdout), json.loads((written / "result.json").read_text())
    assert info["total"]["fs"] == tuned["total"]["fs"]


@pytest.mark.parametrize("change", ["unknown", "missing", "law", "form", "json"])
def test_mappings_that_are_none(written: Path, tmp_path: Path, change: str) -> None:
    value = json.loads((written / "mappings.json").read_text())
    kernel = next(iter(value))
    match change:
        case "unknown":
            value["other"] = value[kernel]
        case "missing":
            del value[kernel]
        case "law":
            value[kernel]["temporal"]["pixel"] += 1
        case "form":
            del value[kernel]["levels"]
    text = "{" if change == "json" else json.dumps(value)
    (tmp_path / "mappings.json").write_text(text)
    done = run("estimate", written.parent / "block.onnx", "--mapping", tmp_path / "mappings.json")
    assert done.exit_code == 2
    assert "mapping" in done.output


def test_a_folder_that_tune_did_not_write(tmp_path: Path) -> None:
    for verb in ("place", "report"):
        done = run(verb, tmp_path)
        assert done.exit_code == 2
        assert "cyclecast tune MODEL --out FOLDER" in " ".join(done.output.split())


def test_report_writes_a_page_and_a_timeline(tuned: Path, tmp_path: Path) -> None:
    assert run("place", tuned, "--dynamic", "arrays").exit_code == 0
    done = run("report", tuned, "--trace", tmp_path / "trace.json", "--json")
    assert done.exit_code == 0, done.output
    info = json.loads(done.stdout)
    assert info["dynamic"] == "arrays", "as placed"
    assert info["out"] == str(tuned / "report.html")
    text = (tuned / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "http://" not in text.partition("<script>")[0]
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


def test_report_beside_another_run(tuned: Path, written: Path, tmp_path: Path) -> None:
    done = run("report", tuned, "--against", written, "--out", tmp_path / "page.html")
    assert done.exit_code == 0, done.output
    assert f"wrote {tmp_path / 'page.html'}" in done.output.replace("\n", "")
    assert not (written / "placement.json").exists(), "the other run stays as it is"
    assert "Beside the other run" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    ["{}", "[", "[1]", '{"settings": {"chips": 1, "objective": "", "batch": 1, "dynamic": null, "timing": ""}}'],
)
def test_a_placement_of_another_program(tuned: Path, text: str) -> None:
    (tuned / "placement.json").write_text(text)
    done = run("report", tuned)
    assert done.exit_code == 2
    assert "it is not what place wrote" in " ".join(done.output.split())


def test_a_page_that_cannot_be_written(tuned: Path, tmp_path: Path) -> None:
    done = run("report", tuned, "--out", tmp_path / "no" / "page.html")
    assert done.exit_code == 2
    assert "it cannot be written" in " ".join(done.output.split())


def test_a_placed_network_computes_the_same_values(written: Path) -> None:
    """Its mappings are schedules: lowered and built, they give what the tuned ones give."""
    tuned = building.load(written)
    found = cc.place(tuned)
    assert isinstance(found, Placement)
    assert set(found.mappings) == set(tuned.mappings)
    assert dict(found.mappings) != dict(tuned.mappings)
    values = np.random.default_rng(0).normal(size=(1, 16, 32)).astype("float32")
    (placed_output,), (output,) = cc.compile(found)(values), cc.compile(tuned)(values)
    np.testing.assert_array_equal(placed_output, output)


DEEP = "[" * 100_000
PLANS = [
    DEEP,
    '{"replicas": ' * 100_000,
    "NaN",
    "1" * 5000,
    "[1.5]",
    '{"0": [1]}',
    '{"0": ' + "9" * 400 + "}",
    "[null]",
    '""',
]


@pytest.mark.parametrize("plan", PLANS, ids=range(len(PLANS)))
def test_a_plan_that_is_none_is_one_line(tuned: Path, tmp_path: Path, plan: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(plan, encoding="utf-8")
    done = run("place", tuned, "--plan", path)
    assert (done.exit_code, done.stderr.count("\n"), done.stderr[:7]) == (2, 1, "error: ")


@pytest.mark.parametrize("options", [("--chips", "9" * 5000), ("--batch", "9" * 400), ("--chips", "²")])
def test_numbers_beyond_all_bounds_are_one_line(tuned: Path, options: tuple[str, str]) -> None:
    done = run("place", tuned, *options)
    assert (done.exit_code, done.stderr.count("\n"), done.stderr[:7]) == (2, 1, "error: ")
    assert len(done.stderr) < 400


def test_an_odd_value_in_what_tune_wrote_is_one_line(tuned: Path) -> None:
    for name, path, value in (
        ("network", ("members", 0, "count"), 1.5),
        ("network", ("members", 0, "count"), -3),
        ("network", ("host", 0, "bytes"), "1"),
        ("network", ("name",), ["x"]),
        ("network", ("operators", 0, "raster"), [0]),
        ("network", ("operators", 0, "sources"), [{"source": 99, "reach": []}]),
        ("program", ("root_index",), 10**30),
        ("program", ("nodes",), {}),
    ):
        file = tuned / f"{name}.json"
        before = file.read_text(encoding="utf-8")
        whole = at = json.loads(before)
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        for text in (json.dumps(whole), DEEP, before[: len(before) // 2]):
            file.write_text(text, encoding="utf-8")
            done = run("place", tuned)
            assert (done.exit_code, done.stderr.count("\n"), done.stderr[:7]) == (2, 1, "error: "), (
                name,
                path,
                text[:80],
            )
        file.write_text(before, encoding="utf-8")
