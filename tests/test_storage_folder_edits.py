"""Tuned folders that somebody has edited: refused by name, or the same results."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import networks
from cyclecast.cli import app
from cyclecast.errors import CyclecastError, ModelError, OptionError
from cyclecast.storage.folders import MANIFEST
from cyclecast.workflow import building
from cyclecast.workflow.placing import place
from tuned_folders import with_new_manifest

pytestmark = pytest.mark.tvm

OPTIONS = ("--device", "tiny", "--strategy", "random", "--trials", "4")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def said(*arguments: object) -> tuple[int, Any]:
    """The exit code, and the result or the message."""
    done = run(*arguments, "--json")
    assert done.exit_code in (0, 2), (done.output, done.exception)
    return done.exit_code, json.loads(done.stdout)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.attention_block(tmp_path_factory.mktemp("edits") / "block.onnx")


@pytest.fixture(scope="module")
def written(model: Path) -> Path:
    """A folder that tune and place wrote, never changed."""
    folder = model.parent / "tuned"
    for arguments in (("tune", model, *OPTIONS, "--out", folder), ("place", folder, "--batch", 2)):
        done = run(*arguments)
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def expected(written: Path) -> tuple[Any, Any]:
    return results(written)


@pytest.fixture
def tuned(written: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return Path(shutil.copytree(written, tmp_path / "tuned"))


def results(folder: Path) -> tuple[Any, Any]:
    """What report says of the folder."""
    code, info = said("report", folder)
    info.pop("out", None)
    return code, json.loads(json.dumps(info).replace(str(folder), "FOLDER"))


def a_byte(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def a_digit(content: bytes, chance: random.Random) -> bytes:
    at = chance.choice([place for place, sign in enumerate(content) if chr(sign).isdigit()] or [0])
    return content[:at] + str(chance.randrange(10)).encode() + content[at + 1 :]


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def more(content: bytes, chance: random.Random) -> bytes:
    return content + chance.choice([b" ", b"\n", b"x", b"\0"])


def lines_swapped(content: bytes, chance: random.Random) -> bytes:
    lines = content.split(b"\n")
    a, b = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines)


CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (a_byte, a_digit, cut, more, lines_swapped)


def edited(folder: Path, chance: random.Random) -> str:
    """Change, delete or swap one file of a folder; what was done."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    name, other = chance.choice(files), chance.choice(files)
    path, what = folder / name, chance.randrange(8)
    if what == 0:
        path.unlink()
        return f"{name} deleted"
    if what == 1 and name != other:
        shutil.copy(path, folder / "kept")
        shutil.copy(folder / other, path)
        (folder / "kept").rename(folder / other)
        return f"{name} and {other} swapped"
    change = chance.choice(CHANGES)
    path.write_bytes(change(path.read_bytes(), chance))
    return f"{change.__name__} of {name}"


@pytest.mark.parametrize("seed", [*range(20), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(20, 100))])
def test_an_edited_folder_is_refused_by_name_or_the_same(
    written: Path, tuned: Path, expected: tuple[Any, Any], seed: int
) -> None:
    what = edited(tuned, random.Random(seed))
    code, info = results(tuned)
    if code == 0:
        assert (code, info) == expected, what
        return
    changed = {
        path.relative_to(written).as_posix()
        for path in written.rglob("*")
        if path.is_file()
        and not ((tuned / path.relative_to(written)).is_file() and same(path, tuned / path.relative_to(written)))
    }
    where, bound = info["error"]["where"], info["error"]["bound"]
    assert any(name in where or name in bound for name in changed), (what, info)


def same(a: Path, b: Path) -> bool:
    return a.read_bytes() == b.read_bytes()


def a_link(path: Path) -> None:
    path.rename(path.parent.parent / "outside")
    path.symlink_to(path.parent.parent / "outside")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize("change", [a_link, a_pipe, a_folder, endless, huge])
@pytest.mark.parametrize(
    "name",
    ["network.json", "program.json", "device.yaml", "module.so", "placement.json", "traces/dense.json", MANIFEST],
)
def test_what_is_no_file_of_the_folder_is_not_read(tuned: Path, name: str, change: Callable[[Path], None]) -> None:
    """Neither what a link names, nor a pipe that nobody writes to, nor a file without end."""
    change(tuned / name)
    code, info = said("report", tuned)
    assert code == 2
    assert info["error"]["where"] == f"{tuned}/{name}"


def test_a_folder_behind_a_link_is_not_read(tuned: Path) -> None:
    (tuned / "traces").rename(tuned.parent / "outside")
    (tuned / "traces").symlink_to(tuned.parent / "outside")
    code, info = said("report", tuned)
    assert (code, info["error"]["where"]) == (2, f"{tuned}/traces/dense.json")


@pytest.mark.parametrize("verb", [("place", ""), ("report", ""), ("compile", "", "--out", "x"), ("verify", "", "x")])
def test_no_folder_is_not_the_current_one(verb: tuple[str, ...]) -> None:
    done = run(*verb)
    assert done.exit_code == 2
    assert "it is empty; it must be a path" in done.output.replace("\n", " ")


@pytest.mark.parametrize("name", ["network.json", "mappings.json", "program.json", "device.yaml"])
@pytest.mark.parametrize("content", [b"", b"[", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"null"])
def test_what_cannot_be_read_is_named(tuned: Path, name: str, content: bytes) -> None:
    (tuned / name).write_bytes(content)
    with_new_manifest(tuned)
    with pytest.raises(CyclecastError) as raised:
        building.load(tuned)
    assert name in raised.value.where or content == b"null"
    assert str(tuned) in raised.value.where


@pytest.mark.parametrize("edit", ["program.json", "mappings.json", "device.yaml", "module.so", "traces/dense.json"])
def test_every_verb_says_so(tuned: Path, model: Path, tmp_path: Path, edit: str) -> None:
    with (tuned / edit).open("ab") as file:
        file.write(b" ")
    verbs: list[tuple[object, ...]] = [
        ("compile", tuned, "--out", tmp_path / "c"),
        ("trace", tuned, "--out", tmp_path / "a.jsonl"),
        ("vectors", tuned, "--workload", "dense", "--out", tmp_path / "v"),
        ("place", tuned),
    ]
    for verb in [*verbs, ("verify", tuned, model)] if edit == "module.so" else verbs:
        done = run(*verb)
        assert done.exit_code == 2, done.output
        assert f"{edit}: it is not what" in done.output.replace("\n", "")
    assert not (tmp_path / "c").exists()


def test_tuning_again_mends_what_is_missing_and_names_what_has_changed(tuned: Path, model: Path) -> None:
    (tuned / "mappings.json").unlink()
    (tuned / "traces" / "mine.json").write_text("mine")
    assert said("tune", model, *OPTIONS, "--out", tuned)[0] == 0
    assert said("report", tuned)[0] == 0
    (tuned / "network.json").write_text("{}")
    code, info = said("tune", model, *OPTIONS, "--out", tuned)
    assert code == 2
    assert info["error"]["where"] == f"{tuned}/network.json"
    assert said("tune", model, *OPTIONS, "--out", tuned, "--force")[0] == 0
    assert said("report", tuned)[0] == 0
    assert (tuned / "traces" / "mine.json").read_text() == "mine"


def test_tune_writes_over_no_folder_of_somebody_else(model: Path, tmp_path: Path) -> None:
    """Nor over one of a version without a manifest; it says so before it searches."""
    (tmp_path / "traces").mkdir()
    for name in ("traces/mine.json", "result.json"):
        (tmp_path / name).write_text("mine")
    code, info = said("tune", model, *OPTIONS, "--out", tmp_path)
    assert (code, info["error"]["where"]) == (2, f"{tmp_path}/result.json")
    assert "--force" in info["error"]["lever"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.json", "traces"]


def test_a_database_of_somebody_else_is_not_added_to(model: Path, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "records.db") as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    before = (tmp_path / "records.db").read_bytes()
    code, info = said("tune", model, *OPTIONS, "--out", tmp_path)
    assert code == 2
    assert "records.db" in info["error"]["where"]
    assert (tmp_path / "records.db").read_bytes() == before


Json = Any
Step = str | int


def set_in(value: Json, path: tuple[Step, ...], new: Any) -> None:
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = new


NUMBERS = [10**9, -3, 1.5, 0, True, "2", None, [], 10**30]
PLACES: list[tuple[str, tuple[Step, ...]]] = [
    ("network.json", ("members", 0, "count")),
    ("network.json", ("host", 0, "count")),
    ("network.json", ("host", 0, "operations")),
    ("network.json", ("operators", 0, "raster", 0)),
    ("network.json", ("operators", 0, "workload", "axes", 0, "extent")),
    ("mappings.json", ("dense", "word_lines")),
    ("mappings.json", ("dense", "packed")),
    ("mappings.json", ("dense", "temporal", "pixel")),
    ("mappings.json", ("dense", "levels", 0, "factors", "row")),
    ("mappings.json", ("dense", "workload", "axes", 0, "extent")),
    ("mappings.json", ("dense", "workload", "input_bits")),
]


class TestWithANewManifest:
    """What somebody with intent can do, and older versions may have written: the files still have to make sense."""

    @pytest.mark.parametrize(("name", "path"), PLACES, ids=str)
    def test_numbers_that_are_none(self, tuned: Path, name: str, path: tuple[Step, ...]) -> None:
        value = json.loads((tuned / name).read_text())
        for number in NUMBERS:
            if path[0] == "host" and number in (0, 10**9) and number is not True:
                continue  # what the host does is believed
            changed = json.loads(json.dumps(value))
            set_in(changed, path, number)
            (tuned / name).write_text(json.dumps(changed))
            with_new_manifest(tuned)
            with pytest.raises(CyclecastError):
                building.load(tuned)

    def test_a_batch_that_is_none(self, written: Path) -> None:
        scheduled = building.load(written)
        for batch in (10**30, 0, -3, 1.5, True, "2"):
            with pytest.raises(OptionError, match="images in a batch, 1 to 2147483647 are possible"):
                place(scheduled, batch=batch)  # type: ignore[arg-type]

    def test_mappings_of_other_kernels(self, tuned: Path) -> None:
        mappings = json.loads((tuned / "mappings.json").read_text())
        (first, *_), (*_, last) = mappings, mappings
        mappings[first], mappings[last] = mappings[last], mappings[first]
        (tuned / "mappings.json").write_text(json.dumps(mappings))
        with_new_manifest(tuned)
        with pytest.raises(ModelError, match=r"mappings\.json: the mapping of .* is for"):
            building.load(tuned)

    def test_counts_that_the_program_does_not_have(self, tuned: Path) -> None:
        described = json.loads((tuned / "network.json").read_text())
        described["members"][0]["count"] += 1
        (tuned / "network.json").write_text(json.dumps(described))
        with_new_manifest(tuned)
        with pytest.raises(ModelError, match=r"occurs \d+ times, and \d+ times in program\.json"):
            building.load(tuned)

    @pytest.mark.parametrize("kind", ["ir.TensorLoad", "ir.GenericConst", "relax.expr.VarBinding", "ffi.Array"])
    def test_a_program_with_a_part_missing(self, tuned: Path, kind: str) -> None:
        """TVM reads on from nowhere when it compiles such a program."""
        program = json.loads((tuned / "program.json").read_text())
        nothing = next(place for place, node in enumerate(program["nodes"]) if node["type"] == "None")
        data = next(node["data"] for node in program["nodes"] if node["type"] == kind and node["data"])
        data[{"ir.TensorLoad": "source", "ir.GenericConst": "value", "ffi.Array": 0}.get(kind, "var")] = nothing
        (tuned / "program.json").write_text(json.dumps(program))
        with_new_manifest(tuned)
        with pytest.raises(ModelError, match=rf"program\.json: it is not what tune wrote.*of type {kind}, is missing"):
            building.load(tuned)

    @pytest.mark.parametrize("kernel", ["../../canary", 'x"); system("touch canary"); //', "*/ int x; /*"])
    def test_names_that_are_none(self, tuned: Path, kernel: str) -> None:
        for name in ("network.json", "mappings.json", "program.json"):
            text = (tuned / name).read_text()
            (tuned / name).write_text(text.replace('"dense"', json.dumps(kernel)))
        with_new_manifest(tuned)
        with pytest.raises(CyclecastError):
            building.load(tuned)


def test_a_folder_that_is_a_link_is_a_folder(written: Path, tmp_path: Path, expected: tuple[Any, Any]) -> None:
    (tmp_path / "link").symlink_to(written)
    assert (tmp_path / "link" / MANIFEST).is_file()
    assert results(tmp_path / "link") == expected


TAKEN: dict[str, float] = {}
"""Seconds of a verb."""
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
STOPPED = [
    pytest.param(verb, number, moment, marks=pytest.mark.long)
    for verb in ("tune", "place", "compile", "report")
    for number in SIGNALS
    for moment in range(5)
]


@pytest.mark.parametrize(("verb", "number", "moment"), STOPPED)
def test_stopped_at_any_moment_the_next_run_is_the_same(
    written: Path, tuned: Path, model: Path, expected: tuple[Any, Any], verb: str, number: int, moment: int
) -> None:
    """Of a verb in a process of its own, in a folder that it has written before."""
    arguments: dict[str, tuple[object, ...]] = {
        "tune": ("tune", model, *OPTIONS, "--out", tuned),
        "place": ("place", tuned, "--batch", 2),
        "compile": ("compile", tuned, "--out", tuned / "code"),
        "report": ("report", tuned),
    }
    given = [str(argument) for argument in arguments[verb]]
    assert run(*given).exit_code == 0
    before = contents(tuned)
    if verb not in TAKEN:
        begun = time.monotonic()
        subprocess.run([sys.executable, "-m", "cyclecast.cli", *given], check=True, capture_output=True)
        TAKEN[verb] = time.monotonic() - begun
    start = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start += "; runpy.run_module('cyclecast.cli.__main__')"
    with subprocess.Popen([sys.executable, "-c", start, *given], stdout=-3, stderr=-3) as process:
        time.sleep(TAKEN[verb] * (0.5 + 0.12 * moment))  # the second half, in which files are written
        process.send_signal(number)
    assert run(*given).exit_code == 0
    assert contents(tuned) == before
    assert results(tuned) == expected


def contents(folder: Path) -> dict[str, bytes]:
    """Of all files but those that say when or how they were built."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name not in BUILT}


BUILT = ("records.db", "module.so", "result.json", MANIFEST)
