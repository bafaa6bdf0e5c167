"""No name of or in an untrusted file moves the cursor or hides text."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import sys
from contextlib import closing
from io import StringIO
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from rich.text import Text
from typer.testing import CliRunner

from cyclecast._notebook import html_table
from cyclecast.cli import app
from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.search import outcome_from_json
from cyclecast.terminal import CleanStream, Console, Table, json_text, printable, printable_lines
from cyclecast.terminal._printable import WITHOUT_GLYPH
from cyclecast.workflow.database import Database
from unseen import FILLERS, IN_A_NAME, UNSEEN, network, offenders

ANY = st.text(st.characters() | st.sampled_from(UNSEEN))
RICH = re.compile(r"\x1b\[[0-9;?]*[mAKlh]|\r")
"""What Rich itself says to a terminal: styles, and the lines of a progress bar."""
THEIRS = ("\x1b[31mA", "\x1b[2J", "\x1b]0;")
"""What it does not."""


def run(*arguments: object) -> tuple[int, str]:
    """The exit code, and both streams, in which no character may be that moves a cursor or hides text."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    printed = done.stdout + done.stderr
    assert not any(theirs in printed for theirs in THEIRS)
    assert offenders(RICH.sub("", printed)) == set()
    return done.exit_code, printed


@given(ANY)
def test_what_is_printable_has_a_glyph(text: str) -> None:
    assert offenders(printable(text)) == set()
    assert "\n" not in printable(text)
    assert printable_lines(text).count("\n") == text.count("\n")
    assert (printable(text) == text) == (text.isprintable() and not WITHOUT_GLYPH.search(text))
    assert offenders(str(OptionError(text, text, text, text))) == set()
    assert offenders(html_table(text, [text], [[text]])) == set()


def test_fillers_are_seen() -> None:
    assert printable(f"a{FILLERS}ä") == f"a{'?' * len(FILLERS)}ä"


@given(ANY)
def test_json_keeps_a_name_and_shows_none_of_it(text: str) -> None:
    assert offenders(json_text({text: text})) == set()
    assert json.loads(json_text({text: text})) == {text: text}


def test_a_colour_becomes_one_sign() -> None:
    assert printable("\x1b[1;31mred\x1b[0m") == "?red?"
    assert printable("we[ir]d näme 网络 🙂") == "we[ir]d näme 网络 🙂"


@pytest.mark.parametrize("terminal", [False, True])
@given(text=ANY)
def test_a_console_prints_no_such_character(terminal: bool, text: str) -> None:
    out = StringIO()
    console = Console(file=out, force_terminal=terminal, color_system=None, width=80)
    table = Table(title=text)
    table.add_column(Text(text))
    table.add_row(text)
    table.add_row(Text(text))
    for renderable in (text, Text(text, style="bold"), table):
        console.print(renderable)
        console.print(renderable, soft_wrap=True)
    assert offenders(out.getvalue()) == set()


def test_a_name_stays_on_its_line_of_a_table() -> None:
    out = StringIO()
    table = Table()
    table.add_row("one\nerror: two")
    Console(file=out, width=80).print(table)
    assert "one?error: two" in out.getvalue()


def test_what_libraries_print_is_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    out = StringIO()
    monkeypatch.setattr(sys, "stderr", CleanStream(out))
    sys.stderr.write(UNSEEN)
    sys.stderr.writelines([UNSEEN, "\tindented"])
    assert "?A" in out.getvalue()
    assert offenders(out.getvalue()) == set()
    assert not sys.stderr.isatty()


def test_a_device_with_such_a_source_is_shown_and_loads_again(tmp_path: Path) -> None:
    said = Device.load("tiny").to_json() | {"cites": "read \u202ebackwards\u200b, ä"}
    path = tmp_path / f"{IN_A_NAME}.yaml"
    path.write_text(Device.from_json(said).to_yaml(), encoding="utf-8")
    assert offenders(path.read_text(encoding="utf-8")) == set()
    assert Device.load(path) == Device.from_json(said)
    for verb in ("check", "show"):
        assert run("device", verb, path)[0] == run("device", verb, path, "--json")[0] == 0
    path.write_text(f"name: {UNSEEN!r}\n{UNSEEN}: 1\n", encoding="utf-8")
    assert run("device", "check", path)[0] == run("device", "check", path, "--json")[0] == 2


@pytest.mark.parametrize("words", [[UNSEEN], ["tune", "x", "--out", UNSEEN, UNSEEN], ["estimate", f"--{UNSEEN}"]])
def test_wrong_usage(words: list[str]) -> None:
    assert run(*words)[0] == 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with such a name, a network in it, and what tune made of that."""
    folder = tmp_path_factory.mktemp("unseen") / IN_A_NAME
    folder.mkdir()
    model = network(folder / f"model{IN_A_NAME}.onnx")
    code, printed = run(*tuning(model))
    assert code == 0
    assert "/5 conv2d" in printed
    assert "model??x???" in printed
    return folder


def tuning(model: Path) -> tuple[object, ...]:
    return ("tune", model, "--out", model.parent, "--device", "tiny", "--strategy", "random", "--trials", 2)


@pytest.mark.tvm
@pytest.mark.parametrize("forced", [False, True])
def test_verbs_of_a_network_with_such_names(folder: Path, forced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if forced:
        monkeypatch.setenv("FORCE_COLOR", "1")
    model = next(folder.glob("model*.onnx"))
    printed = {}
    verbs: list[tuple[object, ...]] = [tuning(model), ("place", folder), ("verify", folder, model)]
    if not forced:
        verbs += [("verify", folder, model, "--json"), ("place", folder, "--json"), ("report", folder)]
        verbs.append(("estimate", model, "--device", "tiny"))
    for verb in verbs:
        code, printed[verb[0]] = run(*verb)
        assert code == 0
    assert ("\x1b[1m" in printed["tune"]) == forced
    if forced:
        return
    assert "\\u001b[31mA" in printed["verify"]  # JSON keeps the name
    for file in ("placement.json", "result.json", "report.html"):
        text = (folder / file).read_text(encoding="utf-8")
        shown = text[: text.index("<script")] if file.endswith("html") else text  # plotly's own code comes after
        assert offenders(shown) == set()


@pytest.mark.tvm
def test_records_with_such_words(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    with closing(sqlite3.connect(copy / "records.db")) as records:
        number, timed, outcome = records.execute("select id, timed, outcome from search").fetchone()
    with Database(copy / "records.db") as database:
        database.finish(number, timed, outcome_from_json(json.loads(outcome) | {"note": UNSEEN}))
    code, printed = run(*tuning(next(copy.glob("model*.onnx"))), "--explain-search")
    assert code == 0
    assert "?A?]0;title" in printed
    with sqlite3.connect(copy / "records.db") as records:
        records.execute("update search set outcome = ?", (UNSEEN,))
    assert run(*tuning(next(copy.glob("model*.onnx"))))[0] == 2


@pytest.mark.tvm
def test_layers_and_their_errors(tmp_path: Path) -> None:
    model = network(tmp_path / f"{IN_A_NAME}.onnx")
    samples = tmp_path / f"{IN_A_NAME}.npz"
    np.savez(samples, **{f"input{UNSEEN}": np.ones((2, 3, 16, 16), "float32")})  # type: ignore[arg-type]
    code, printed = run("sqnr", model, "--calibrate", samples, "--device", "tiny")
    assert "?A?]0;title" in printed, printed
    assert code == 0


@pytest.mark.tvm
@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_operators_that_cannot_be_imported(tmp_path: Path, as_json: tuple[str, ...]) -> None:
    node = helper.make_node("LSTM", ["x", "w", "r"], ["", "y"], hidden_size=2, name=UNSEEN, clip=1.0)
    weights = [helper.make_tensor("w", 1, [1, 8, 3], [0.1] * 24), helper.make_tensor("r", 1, [1, 8, 2], [0.1] * 16)]
    given, made = helper.make_tensor_value_info("x", 1, [4, 1, 3]), helper.make_tensor_value_info("y", 1, [1, 1, 2])
    graph = helper.make_graph([node], UNSEEN, [given], [made], weights)
    path = tmp_path / f"{IN_A_NAME}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
    code, printed = run("estimate", path, *as_json)
    assert code == 2
    assert "LSTM" in printed
