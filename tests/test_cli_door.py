"""The end of a command: one line and an exit code, and no traceback without `--debug`."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import networks
from cyclecast import cli
from cyclecast.cli import app
from cyclecast.device import Device, library
from cyclecast.errors import DeviceError

FAILURES: list[tuple[BaseException, int, str]] = [
    (DeviceError("here", "wrong", "right is", "this"), 2, "error: here: wrong, right is; try this"),
    (OSError(errno.ENOSPC, "No space left on device"), 2, "error: a file: it cannot be used, No space left on device"),
    (PermissionError(errno.EACCES, "Permission denied", "/a/b"), 2, "error: /a/b: it cannot be used, Permission"),
    (
        FileNotFoundError("No usable temporary directory"),
        2,
        "error: a file: it cannot be used, No usable",
    ),
    (RecursionError("maximum depth"), 2, "error: input: it is nested too deeply"),
    (OverflowError("int too large to convert to float"), 2, "error: input: a number in it is too large, int too"),
    (MemoryError(), 2, "error: memory: there is not enough of it; try"),
    (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), 2, "error: input: a text in it is no"),
    (KeyboardInterrupt(), 130, "stopped"),
]


@pytest.mark.parametrize(("failure", "code", "line"), FAILURES, ids=lambda value: type(value).__name__)
def test_a_failure_is_one_line(failure: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Device, "library", staticmethod(lambda: (_ for _ in ()).throw(failure)))
    done = CliRunner().invoke(app, ["device", "list"])
    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    if code == 2:
        told = CliRunner().invoke(app, ["device", "list", "--debug"]).stderr
        assert told.startswith("Traceback (most recent call last):\n")
        assert told.splitlines()[-1] == done.stderr.rstrip()
        error = json.loads(CliRunner().invoke(app, ["device", "list", "--json"]).stdout)["error"]
        assert done.stderr.startswith(f"error: {error['where']}: {error['demand']}")


@pytest.mark.parametrize("kind", [AssertionError, TypeError, KeyError, AttributeError, ValueError, RuntimeError])
def test_a_fault_of_ours_stays_visible(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Device, "library", staticmethod(lambda: (_ for _ in ()).throw(kind("a \x1b[31mfault"))))
    done = CliRunner().invoke(app, ["device", "list"])
    assert isinstance(done.exception, kind)
    monkeypatch.setattr(sys, "argv", ["cyclecast", "device", "list"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    line = capsys.readouterr().err
    assert ended.value.code == 1
    assert line.startswith(f"error: a fault of cyclecast itself: {kind.__name__}: ")
    assert "please report it" in line
    assert (line.count("\n"), "\x1b" in line, "Traceback" in line) == (1, False, False)
    monkeypatch.setattr(sys, "argv", ["cyclecast", "--debug", "device", "list"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err.startswith("Traceback (most recent call last):\n")


NUMBERS = [
    *(("tune", "m.onnx", "--out", "OUT", name) for name in ("--trials", "--seed", "--seconds")),
    *(("estimate", "m.onnx", "--calibrate", "c.npz", name) for name in ("--image-mean", "--image-deviation")),
    ("estimate", "m.onnx", "--shape"),
    ("sqnr", "m.onnx", "--calibrate", "c.npz", "--worst"),
    ("verify", "OUT", "m.onnx", "--seed"),
    *(("place", "OUT", name) for name in ("--chips", "--batch", "--arrays")),
    *(("vectors", "OUT", "--workload", "w", "--out", "OUT/v", name) for name in ("--arrays", "--products", "--seed")),
    ("trace", "OUT", "--out", "OUT/t", "--seed"),
    ("replay", "OUT/t", "--memory"),
]
ODD = ["0", "-1", "1e400", "nan", "-inf", "1" + 30 * "0", 5000 * "9", "", "٣", "1_000", "1.5", "\u2028", "1\n2"]
"""Of which some are numbers; there is no such file or folder."""


@pytest.mark.parametrize("words", NUMBERS, ids=lambda words: f"{words[0]} {words[-1]}")
def test_a_number_that_is_none_is_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    for value in ODD:
        given = [word.replace("OUT", str(tmp_path)) for word in words]
        given[-1:] = [f"{given[-1]}={'x=' * (given[-1] == '--shape')}{value}"]
        done = CliRunner().invoke(app, given)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
        assert done.stderr.startswith("error: ")
        assert len(done.stderr) < 1500


def test_a_message_is_no_longer_than_a_person_reads(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["tune", "m.onnx", "--out", str(tmp_path), "--device", 100_000 * "x"])
    assert done.exit_code == 2
    assert len(done.stderr) < 4 * 1100


def test_debug_is_taken_anywhere() -> None:
    for words in (["--debug", "device", "check", "./none"], ["device", "check", "./none", "--debug"]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 2
        assert "Traceback" in done.stderr
    assert "--debug" in CliRunner().invoke(app, ["--help"]).stdout


def test_help_lists_the_verbs_in_the_order_of_use() -> None:
    shown = CliRunner().invoke(app, ["--help"]).stdout
    places = [shown.index(f" {verb} ") for verb in ("tune", "place", "report", "compile", "verify", "estimate")]
    assert places == sorted(places)


def test_names_of_devices_are_completed() -> None:
    asked = {"_CYCLECAST_COMPLETE": "complete_bash", "COMP_WORDS": "cyclecast device check isa", "COMP_CWORD": "3"}
    command = str(Path(sys.executable).with_name("cyclecast"))
    done = subprocess.run([command], env=os.environ | asked, capture_output=True, text=True)
    assert done.stdout.split() == [name for name in library() if name.startswith("isa")]


def test_a_reader_that_goes_away_is_no_fault() -> None:
    command = f"{sys.executable} -m cyclecast.cli device schema | head -c 10"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


@pytest.mark.tvm
def test_ctrl_c_inside_a_function_that_tvm_calls_is_ctrl_c() -> None:
    import tvm

    import cyclecast._tvm  # noqa: F401 - which lets it through

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tvm.runtime.convert(stop)()


def test_ctrl_c_that_a_library_turned_into_an_error_is_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def library() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise DeviceError("here", "it cannot be read") from None

    # A shell that starts the tests in the background leaves them without Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        monkeypatch.setattr(Device, "library", staticmethod(library))
        done = CliRunner().invoke(app, ["device", "list"])
        assert (done.exit_code, done.stderr) == (130, "stopped\n")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.tvm
def test_a_refusal_of_tvm_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from tvm.ir import load_json

    monkeypatch.setattr(Device, "library", staticmethod(lambda: load_json('{"root_index": 7, "nodes": []}')))
    done = CliRunner().invoke(app, ["device", "list"])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: TVM: it refuses the network or the program, ")


IN_A_FINALIZER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from cyclecast import cli
from cyclecast.device import Device

class Late:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def library():
    Late()
    return []

Device.library = staticmethod(library)
sys.argv = ["cyclecast", "device", "list"]
cli.main()
"""


def test_ctrl_c_in_a_finalizer_ends_the_command() -> None:
    """Python only prints what a finalizer raises, and goes on."""
    done = subprocess.run([sys.executable, "-c", IN_A_FINALIZER], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")


@pytest.mark.tvm
@pytest.mark.long
@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0])
def test_ctrl_c_at_any_moment(seconds: float, tmp_path: Path) -> None:
    """Any after Python has imported the package, which makes the folder first of all."""
    model = networks.tiny_cnn(tmp_path / "tiny.onnx")
    words = ["tune", str(model), "--out", str(tmp_path / "out"), "--strategy", "evolution", "--trials", "640"]
    # A shell that starts us in the background leaves children without Ctrl-C.
    start = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start += "; runpy.run_module('cyclecast.cli.__main__')"
    command = [sys.executable, "-c", start, *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "out").exists():
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode in (130, 0)  # 0: it was done before
    assert "Traceback" not in told


@pytest.mark.tvm
def test_a_command_writes_nothing_into_the_home_folder(tmp_path: Path) -> None:
    """onnxruntime keeps events there and sends them, unless told not to, or on machines of continuous integration."""
    home = tmp_path / "home"
    home.mkdir()
    model = networks.attention_block(tmp_path / "block.onnx", tokens=4, width=16)
    words = ["tune", str(model), "--device", "tiny", "--out", str(tmp_path / "out")]
    subprocess.run(
        [sys.executable, "-m", "cyclecast.cli", *words],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        timeout=300,
    )
    assert list(home.rglob("*")) == []
