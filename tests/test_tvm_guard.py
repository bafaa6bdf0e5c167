"""Only a TVM that works is let in, and its slow part is left out."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from cyclecast._tvm import _guard
from cyclecast.errors import OptionError

pytestmark = pytest.mark.tvm


@pytest.mark.parametrize("version", ["0.1.15", "0.1.15.post2", "0.1.16", "0.2.0", "1.0.0.post1"])
def test_versions_that_crash_are_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(_guard, "version", lambda _: version)
    with pytest.raises(OptionError, match=rf"version {version} is installed.*'apache-tvm-ffi<0\.1\.15'"):
        _guard.require_good_ffi()


@pytest.mark.parametrize("version", ["0.1.14", "0.1.14.post0", "0.1.14.post1"])
def test_versions_that_work_are_let_in(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(_guard, "version", lambda _: version)
    _guard.require_good_ffi()


def test_a_missing_tvm_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(_guard, "version", missing)
    with pytest.raises(OptionError, match=r"not installed; try pip install 'cyclecast\[tvm\]'"):
        _guard.require_good_ffi()


CONTEXT = """
import sys, time
import cyclecast._tvm
from kernels import conv
from cyclecast.schedule import as_module
from tvm.s_tir import meta_schedule as ms
from tvm.target import Target

kernel = conv(size=(3, 3), channels=1, filters=1, kernel=(1, 1))
begin = time.process_time()
ms.TuneContext(as_module(kernel.function), target=Target({"kind": "llvm", "num-cores": 1}), num_threads=1)
print(time.process_time() - begin)
print(vars(sys.modules["tvm.s_tir.tensor_intrin"]).get("__file__"))
"""


def test_a_context_is_made_without_the_hardware_intrinsics(pytestconfig: pytest.Config) -> None:
    tests = str(pytestconfig.rootpath / "tests")
    done = subprocess.run([sys.executable, "-c", CONTEXT], capture_output=True, text=True, check=True, cwd=tests)
    seconds, file = done.stdout.split()
    assert file == "None"
    assert float(seconds) < 1


def test_intrinsics_that_somebody_has_loaded_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = object()
    monkeypatch.setitem(sys.modules, _guard.TENSOR_INTRINSICS, loaded)
    _guard.replace_hardware_intrinsics()
    assert sys.modules[_guard.TENSOR_INTRINSICS] is loaded
