"""Every example runs, with warnings as errors, and says what it is meant to show.

All but one run in this process, which has imported TVM already.
"""

from __future__ import annotations

import gzip
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import cyclecast as cc

EXAMPLES = Path(__file__).parent.parent / "examples"
RUN_ELSEWHERE = {
    "demo.py": "test_readme.py",
    "04_evolution.py": "the demo runs it",
    "text_direction.py": "it is a helper of the others",
}

pytestmark = [pytest.mark.tvm, pytest.mark.slow]


Run = Callable[..., str]
"""Runs an example with arguments; gives what it prints."""


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], logging_left_as_it_was: None, tmp_path: Path
) -> Run:
    def printed(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        monkeypatch.chdir(tmp_path)
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return printed


def test_first_steps_find_better_mappings_and_read_text_both_ways_up(
    run: Run, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the searches that other tests need as well."""
    monkeypatch.setattr(cc, "tune", partial(cc.tune, database=records))
    printed = run("01_first.py")
    guess, best = (float(number) for number in re.findall(r"([\d.]+) us", printed)[:2])
    assert best < guess
    assert "upside down: False, the network says False" in printed
    assert "upside down: True, the network says True" in printed


def pictures(folder: Path) -> Path:
    """Files like those of Fashion-MNIST: the class of a picture is where its bright square is."""
    random = np.random.default_rng(0)
    for part, count in (("train", 1280), ("t10k", 200)):
        labels = random.integers(0, 10, count).astype("uint8")
        images = random.integers(0, 120, (count, 28, 28)).astype("uint8")
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 4)
            image[9 * row : 9 * row + 9, 7 * column : 7 * column + 7] = 255
        header = {"images-idx3": (images, 16), "labels-idx1": (labels, 8)}
        for name, (values, length) in header.items():
            with gzip.open(folder / f"{part}-{name}-ubyte.gz", "wb") as file:
                file.write(bytes(length) + values.tobytes())
    return folder


@pytest.mark.filterwarnings("ignore")  # PyTorch's own
def test_a_trained_network_keeps_its_accuracy(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    printed = run("03_fashion_mnist.py", str(pictures(tmp_path)), "4")
    real, quantised = (float(number) for number in re.findall(r"([\d.]+)%", printed))
    assert real > 50
    assert abs(real - quantised) <= 2  # of 200 pictures: four


def test_inside_tvm_keeps_the_values(run: Run) -> None:
    assert "same values: True" in run("02_inside_tvm.py")


def test_the_search_obeys_an_own_timing_model(run: Run) -> None:
    usual, thrifty = (
        int(found.replace(",", "")) for found in re.findall(r": ([\d,]+) arrays", run("10_own_timing_model.py"))
    )
    assert thrifty * 5 < usual


def test_plans_of_other_tools_are_no_better_than_ours(run: Run) -> None:
    printed = run("11_plans_of_other_tools.py")
    theirs, ours = re.findall(r"([\d.]+) us", printed.splitlines()[0])
    assert float(ours) <= float(theirs)
    assert "ZigZag's tiles" in printed


def test_a_rule_of_your_own_finds_a_better_mapping() -> None:
    """In a process of its own, as a user starts it."""
    program = [sys.executable, "-W", "error", str(EXAMPLES / "12_own_rule.py")]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    usual, own = (float(time) for time in re.findall(r"([\d.]+) us", done.stdout))
    assert own < usual


def test_a_strategy_of_your_own_answers_for_every_workload(run: Run) -> None:
    own, drawn = (float(time) for time in re.findall(r"([\d.]+) us", run("13_own_strategy.py")))
    assert 0 < own < 10 * drawn


def test_a_runner_of_your_own_is_asked_by_metaschedule(run: Run) -> None:
    printed = run("14_own_runner.py")
    assert re.search(r"^\d+ candidates asked, the best takes [\d.]+ us$", printed, re.MULTILINE)


def test_a_front_end_of_your_own_reads_a_network(run: Run) -> None:
    assert re.fullmatch(r"dense 1x40 -> 5: [\d.]+ us\n", run("15_own_front_end.py"))


def test_a_report_of_your_own_has_a_line_for_each_operator(run: Run) -> None:
    title, ruler, *rows = run("16_own_report.py").split("\n")
    assert (title, ruler) == ("| operator | arrays | busy [us] |", "|---|---|---|")
    assert len([row for row in rows if row]) == 54


def test_no_example_is_forgotten() -> None:
    tested = set(re.findall(r"(?:run\(|EXAMPLES / )\"(.*?)\"[,)]", Path(__file__).read_text(encoding="utf-8"))) | set(
        RUN_ELSEWHERE
    )
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested
