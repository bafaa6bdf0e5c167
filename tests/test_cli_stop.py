"""The command line where a search is stopped: by Ctrl-C, or by its time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

import networks
from cyclecast.device import Device
from cyclecast.mapping import Mapping
from cyclecast.timing import Analytical, Timing
from test_cli import QUICK, run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.tiny_cnn(tmp_path_factory.mktemp("cli") / "tiny_cnn.onnx")


def test_ctrl_c_keeps_what_was_found(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def interrupt(self: Analytical, mapping: Mapping, device: Device) -> Timing:
        nonlocal calls
        calls += 1
        if calls > 8:
            raise KeyboardInterrupt
        return told(self, mapping, device)

    told = Analytical.time
    monkeypatch.setattr(Analytical, "time", interrupt)
    result = run("tune", model, "--out", tmp_path, "--strategy", "random")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1].startswith("stopped: 0 of ")
    assert "are finished, and the next run with --out" in result.stderr
    monkeypatch.undo()
    with sqlite3.connect(tmp_path / "records.db") as records:
        assert records.execute("select count(*) from record").fetchone()[0] >= 1
    assert run("tune", model, "--out", tmp_path, *QUICK).exit_code == 0


def test_help_states_the_time_that_a_search_may_take() -> None:
    text = " ".join(run("tune", "--help").stdout.split())
    assert "--seconds" in text
    assert "20" in text


@pytest.mark.parametrize("seconds", ["-1", "nan"])
def test_a_time_that_is_none_is_a_mistake(model: Path, tmp_path: Path, seconds: str) -> None:
    result = run("tune", model, "--out", tmp_path, "--seconds", seconds, *QUICK)
    assert result.exit_code == 2
    assert "it must be 0 or more" in result.stderr
