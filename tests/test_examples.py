"""Every example runs, with warnings as errors, and says what it is meant to show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
RUN_ELSEWHERE = {"demo.py": "test_readme.py", "text_direction.py": "it is a helper of the others"}

pytestmark = [pytest.mark.tvm, pytest.mark.slow]


def run(name: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", str(EXAMPLES / name)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_first_steps_find_better_mappings_and_read_text_both_ways_up() -> None:
    printed = run("01_first.py")
    guess, best = (float(number) for number in re.findall(r"([\d.]+) us", printed)[:2])
    assert best < guess
    assert "upside down: False, the network says False" in printed
    assert "upside down: True, the network says True" in printed


def test_inside_tvm_keeps_the_values() -> None:
    assert "same values: True" in run("02_inside_tvm.py")


def test_the_search_obeys_an_own_timing_model() -> None:
    usual, thrifty = (
        int(found.replace(",", "")) for found in re.findall(r": ([\d,]+) arrays", run("10_own_timing_model.py"))
    )
    assert thrifty * 5 < usual


def test_no_example_is_forgotten() -> None:
    tested = set(re.findall(r"run\(\"(.*?)\"\)", Path(__file__).read_text(encoding="utf-8"))) | set(RUN_ELSEWHERE)
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested
