"""The command line where a search is stopped: by Ctrl-C, or by its time."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
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


EARLY = """
import re, signal, sys  # as the program that pip writes
signal.signal(signal.SIGINT, signal.default_int_handler)

class Stop:
    left = int(sys.argv.pop(1))

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        cls.left -= 1
        if cls.left == 0:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Stop)
from cyclecast.cli import main
print("imported", file=sys.stderr)
sys.exit(main())
"""
"""Ctrl-C while the n-th module is looked for: the first are `cyclecast`, `cyclecast.cli` and its answer to Ctrl-C."""


@pytest.mark.parametrize("moment", [6, 7, 10, 20, 40, 80, 160, 320])
def test_ctrl_c_while_the_program_is_imported_ends_it_at_once(moment: int) -> None:
    command = [sys.executable, "-c", EARLY, str(moment), "device", "list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")


def test_the_answer_to_ctrl_c_is_the_callers_after_importing() -> None:
    command = "import signal; before = signal.getsignal(signal.SIGINT); import cyclecast.cli"
    command = f"{command}; assert signal.getsignal(signal.SIGINT) is before"
    subprocess.run([sys.executable, "-c", command], check=True, timeout=60)
