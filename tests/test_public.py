"""What a user of `import cyclecast as cc` meets first."""

from __future__ import annotations

import inspect
import json
import pickle
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cyclecast as cc
import networks
from cyclecast import errors
from cyclecast.cli import app
from cyclecast.report import tuned_info
from cyclecast.workflow.tuning import Tuned

pytestmark = pytest.mark.tvm

ISAAC = cc.Device.load("isaac")
LONGEST = 300
"""Characters of a line that says what something is."""


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return cc.tune(cc.load(networks.tiny_cnn(tmp_path_factory.mktemp("public") / "tiny.onnx")), ISAAC)


def test_names_are_those_of_the_functions() -> None:
    assert [name for name in ("compile", "load", "place", "tune") if getattr(cc, name).__name__ != name] == []
    assert [name for name in cc.__all__ if not (getattr(cc, name).__doc__ or "").strip()] == []


def test_the_version_is_that_of_the_package() -> None:
    assert cc.__version__ == version("cyclecast")
    assert CliRunner().invoke(app, ["--version"]).stdout == f"{cc.__version__}\n"


def test_values_say_in_a_line_what_they_are(tuned: Tuned) -> None:
    for value in (ISAAC, tuned, tuned.network, tuned.workloads[0].mapping):
        assert "\n" not in repr(value)
        assert len(repr(value)) < LONGEST
        shown: str = value._repr_html_()
        assert shown.startswith("<table>")
        assert "<mapping" not in shown
    assert repr(ISAAC) == "<device ISAAC-CE 8-bit: 168 pe x 12 cu x 8 array of 128 x 128 cells>"


def test_energy_is_that_of_the_report(tuned: Tuned) -> None:
    assert tuned.energy is not None
    assert tuned.energy.attojoules == tuned_info(tuned)["total"]["energy_aj"]
    assert cc.tune(tuned.network, ISAAC, timing="poster").energy is None


def test_records_are_plain_rows(tuned: Tuned) -> None:
    rows = json.loads(json.dumps(tuned.to_records()))
    assert [row["workload"] for row in rows] == [entry.member.workload.name for entry in tuned.workloads]
    assert sum(row["count"] * row["seconds"] for row in rows) == pytest.approx(tuned.total.seconds)
    assert {row["gap"] for row in rows} == {0.0}


def error_of(kind: type[Any]) -> Exception:
    made: Exception
    if kind is errors.MistakesError:
        made = kind([errors.DeviceError("a.yaml:1", "wrong"), errors.DeviceError("a.yaml:2", "wrong, too")])
    elif kind is errors.OperatorsError:
        made = kind("net.onnx", [errors.Refused("Loop", 2, ("a", "b"), "unroll it")])
    else:
        made = kind("where", "demand", "bound", "lever")
    return made


@pytest.mark.parametrize(
    "kind", [of for _, of in inspect.getmembers(errors, inspect.isclass) if issubclass(of, errors.CyclecastError)]
)
def test_errors_go_from_process_to_process(kind: type[Any]) -> None:
    error = error_of(kind)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.args) == (kind, str(error), error.args)


def test_hardware_intrinsics_of_tvm_can_be_imported_afterwards() -> None:
    program = "import cyclecast.tvm; from tvm.s_tir.tensor_intrin import x86; print(x86.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "tvm.s_tir.tensor_intrin.x86\n"


def test_a_path_may_be_a_text(tmp_path: Path) -> None:
    assert cc.load(str(networks.tiny_cnn(tmp_path / "tiny.onnx"))).members
