"""Output folders and files: written completely or not at all, and no file of the user is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclecast.errors import CyclecastError, ModelError, OptionError
from cyclecast.storage.folders import (
    MANIFEST,
    output,
    output_file,
    require_file_unchanged,
    require_replaceable,
    require_unchanged,
)

FOREIGN = "it exists and cyclecast did not write it"


def write(folder: Path, files: dict[str, str], *, verb: str = "tune", force: bool = False) -> None:
    with output(folder, verb, force=force) as place:
        for name, text in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text, encoding="utf-8")


def contents(folder: Path) -> dict[str, str]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    return {name: path.read_text(encoding="utf-8") for name, path in found.items() if name != MANIFEST}


def check(folder: Path) -> None:
    require_unchanged(folder, {}, ("tune",))


def test_a_second_time_replaces_the_first(tmp_path: Path) -> None:
    write(tmp_path, {"a": "1", "traces/x": "1", "traces/y": "1"})
    write(tmp_path, {"a": "2", "traces/x": "2"})
    assert contents(tmp_path) == {"a": "2", "traces/x": "2"}
    check(tmp_path)
    write(tmp_path, {"a": "3"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", MANIFEST]


def test_files_of_the_user_stay(tmp_path: Path) -> None:
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "mine.json").write_text("mine")
    write(tmp_path, {"traces/x.json": "1"})
    write(tmp_path, {"a": "1"})
    assert contents(tmp_path) == {"traces/mine.json": "mine", "a": "1"}


@pytest.mark.parametrize("name", ["README.md", "traces/x.json", MANIFEST])
def test_a_file_of_the_user_in_the_way_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    files = {"a": "1", "README.md": "2", "traces/x.json": "3"}
    with pytest.raises(CyclecastError, match=f"{name}: it (exists|is no manifest).*cyclecast"):
        write(tmp_path, files)
    with pytest.raises(CyclecastError, match=name):
        require_replaceable(tmp_path, files)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    write(tmp_path, files, force=True)
    assert contents(tmp_path) == files
    check(tmp_path)


def test_a_file_that_the_user_has_changed_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": "1", "old.c": "1"})
    (tmp_path / "main.c").write_text("mine")
    with pytest.raises(OptionError, match=r"main\.c: it has changed since cyclecast wrote it; try .*--force"):
        write(tmp_path, {"main.c": "2"})
    (tmp_path / "old.c").write_text("mine")
    write(tmp_path, {"main.c": "2"}, force=True)
    assert contents(tmp_path) == {"main.c": "2", "old.c": "mine"}, "force replaces what is in the way, no more"


def test_empty_files_and_equal_ones_are_no_loss(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "equal").write_text("1")
    write(tmp_path, {"empty": "1", "equal": "1"})
    assert contents(tmp_path) == {"empty": "1", "equal": "1"}


def test_a_single_file_among_the_files_of_a_verb(tmp_path: Path) -> None:
    """It waits for nothing: the folder that both are made in is held already."""
    with output(tmp_path, "tune") as place, output_file(place / "a", "x") as file:
        file.write_text("1")
    assert contents(tmp_path) == {"a": "1"}


def test_a_folder_of_the_user_is_no_staging_folder(tmp_path: Path) -> None:
    """What a killed process has left goes; what only begins like that does not."""
    kept = (".cyclecast-notes", ".cyclecast-writing-", ".cyclecast-writing-abcdefg", ".cyclecast-writing-abcdefghi")
    for name in (*kept, ".cyclecast-writing-abcdefgh"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text("mine")
    write(tmp_path, {"a": "1"})
    assert {path.name for path in tmp_path.iterdir()} == {"a", MANIFEST, *kept}
    assert all((tmp_path / name / "mine").read_text() == "mine" for name in kept)


def test_verbs_share_a_folder(tmp_path: Path) -> None:
    write(tmp_path, {"a": "1", "module.so": "1"}, verb="tune")
    write(tmp_path, {"main.c": "1"}, verb="compile c")
    write(tmp_path, {"module.so": "2"}, verb="compile llvm")
    check(tmp_path)
    write(tmp_path, {"a": "2"}, verb="tune")
    assert contents(tmp_path) == {"a": "2", "main.c": "1", "module.so": "2"}


@pytest.mark.parametrize("force", [False, True])
def test_nothing_is_written_through_links_or_over_folders(tmp_path: Path, force: bool) -> None:
    mine, out = tmp_path / "mine", tmp_path / "out"
    mine.mkdir()
    (mine / "x.json").write_text("mine")
    out.mkdir()
    (out / "traces").symlink_to(mine)
    with pytest.raises(OptionError, match="traces: it is in the way"):
        write(out, {"traces/x.json": "1"}, force=force)
    (out / "a").mkdir()
    with pytest.raises(OptionError, match="a: it is a folder"):
        write(out, {"a": "1"}, force=force)
    (out / "b").symlink_to(mine / "x.json")
    if force:
        write(out, {"b": "1"}, force=True)
    else:
        with pytest.raises(OptionError, match=f"b: {FOREIGN}"):
            write(out, {"b": "1"})
    assert (mine / "x.json").read_text() == "mine"


@pytest.mark.parametrize("name", ["../mine", "/etc/hostname", "a/../../mine", ".", "", "a//b"])
def test_a_manifest_names_nothing_outside(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    write(out, {"a": "1"})
    manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"]["tune"][name] = manifest["files"]["tune"]["a"]
    (out / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    (tmp_path / "mine").write_text("1")
    with pytest.raises(ModelError, match="it is no manifest"):
        write(out, {"b": "1"})
    with pytest.raises(ModelError, match="it is no manifest"):
        check(out)
    assert (tmp_path / "mine").exists()


ABOUT: dict[str, object] = {"format": "cyclecast-folder", "version": 1}
NONE: list[object] = [
    [],
    None,
    {},
    ABOUT,
    ABOUT | {"version": 2, "files": {}},
    ABOUT | {"files": []},
    ABOUT | {"files": {"tune": []}},
    ABOUT | {"files": {"tune": {"a": 1}}},
    ABOUT | {"files": {}, "before": 1},
    ABOUT | {"files": {}, "before": {"a": "b"}},
]


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00", "1e999", *map(json.dumps, NONE)], ids=len)
def test_what_is_no_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=rf"{MANIFEST}: it is no manifest"):
        check(tmp_path)
    with pytest.raises(ModelError, match=rf"{MANIFEST}: it is no manifest"):
        write(tmp_path, {"a": "1"})
    write(tmp_path, {"a": "1"}, force=True)
    check(tmp_path)


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"{MANIFEST}: there is no such file"):
        check(tmp_path)
    write(tmp_path, {"a": "1", "b/c": "1"})
    (tmp_path / "b" / "c").write_text("2")
    with pytest.raises(ModelError, match="b/c: it is not what tune wrote, its SHA-256"):
        check(tmp_path)
    with pytest.raises(ModelError, match="a: it is not what tune wrote"):
        require_unchanged(tmp_path, {"a": b"2"}, ("tune",))
    with pytest.raises(ModelError, match=r"d: it is not what tune wrote, cyclecast\.json does not name it"):
        require_unchanged(tmp_path, {"d": b""}, ("tune",))
    (tmp_path / "b" / MANIFEST).write_bytes((tmp_path / MANIFEST).read_bytes().replace(b"b/c", b"c"))
    with pytest.raises(ModelError, match="c: it is not what cyclecast wrote"):
        require_file_unchanged(tmp_path / "b" / "c")


def test_an_error_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, {"a": "1"})
    with suppress(KeyboardInterrupt), output(tmp_path, "tune") as place:
        (place / "a").write_text("2")
        raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", MANIFEST]
    check(tmp_path)


FILES = {"a": "1", "gone": "1"} | {f"many/{number}": "1" for number in range(40)}
AGAIN = {name: "2" for name in FILES if name != "gone"} | {"new": "2"}
KILLED = """
import sys, os, signal
from pathlib import Path
from cyclecast.storage import folders
left = int(sys.argv[2])
def counted(self, target, done=Path.replace):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return done(self, target)
Path.replace = counted
with folders.output(sys.argv[1], "tune") as place:
    for name in sys.argv[3:]:
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text("2")
"""


@pytest.mark.parametrize("moment", [0, 1, 2, 20, 42, 43, 44])
def test_killed_at_any_moment_the_next_run_is_whole(tmp_path: Path, moment: int) -> None:
    write(tmp_path, FILES)
    write(tmp_path, {"placement.json": "1"}, verb="place")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(moment), *AGAIN], check=False)
    assert done.returncode == (-signal.SIGKILL if moment < 44 else 0)
    found = {name: text for name, text in contents(tmp_path).items() if not name.startswith(".cyclecast-")}
    assert set(found.values()) <= {"1", "2"}
    if moment in (0, 1, 43, 44):  # nothing or everything has been replaced
        check(tmp_path)
    else:
        with pytest.raises(ModelError, match="it is not what tune wrote, tune was stopped while it wrote"):
            check(tmp_path)
    write(tmp_path, {"placement.json": "2"}, verb="place")
    write(tmp_path, AGAIN)
    check(tmp_path)
    assert contents(tmp_path) == AGAIN | {"placement.json": "2"}


def test_several_writers_at_once(tmp_path: Path) -> None:
    program = """
import sys
from cyclecast.storage.folders import output
for turn in range(10):
    with output(sys.argv[1], "tune") as place:
        for name in "abc":
            (place / name).write_text(sys.argv[2])
"""
    started = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), text]) for text in "123"]
    assert [each.wait(60) for each in started] == [0, 0, 0]
    check(tmp_path)
    assert len(set(contents(tmp_path).values())) == 1


names = st.sampled_from(["a", "b", "c/d", "c/e", "f/g/h"])


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["write", "edit"]), st.sets(names, min_size=1)), max_size=6), st.integers())
def test_nothing_of_the_user_is_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, set[str]]], seed: int
) -> None:
    """Whatever is written and edited in turn: what the user wrote last is there, unless it equals what we write."""
    folder, mine = tmp_path_factory.mktemp("folder"), dict[str, str]()
    texts = random.Random(seed)
    for what, chosen in steps:
        files = {name: texts.choice("123") for name in sorted(chosen)}
        if what == "write":
            try:
                write(folder, files)
                mine = {name: text for name, text in mine.items() if files.get(name, "no") != text}
            except OptionError:
                assert mine
            continue
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"{text} mine")
            mine[name] = f"{text} mine"
    found = contents(folder)
    assert {name: found[name] for name in mine} == mine


class TestOneFile:
    """A file by itself, with no manifest: its beginning says what wrote it."""

    def test_is_replaced_where_it_is_ours(self, tmp_path: Path) -> None:
        path = tmp_path / "page.html"
        for text in ("by cyclecast 1", "by cyclecast 2"):
            with output_file(path, "by cyclecast") as place:
                place.write_text(text)
            assert path.read_text() == text
        assert list(tmp_path.iterdir()) == [path]

    def test_is_named_where_it_is_not(self, tmp_path: Path) -> None:
        path = tmp_path / "page.html"
        path.write_text("mine")
        with pytest.raises(OptionError, match=f"page.html: {FOREIGN}"), output_file(path, "by cyclecast"):
            pytest.fail("nothing is to be written")
        assert path.read_text() == "mine"
        with output_file(path, "by cyclecast", force=True) as place:
            place.write_text("ours")
        assert path.read_text() == "ours"

    def test_stays_where_writing_fails(self, tmp_path: Path) -> None:
        path = tmp_path / "page.html"
        path.write_text("by cyclecast")
        with suppress(ZeroDivisionError), output_file(path, "by cyclecast") as place:
            place.write_text("half")
            raise ZeroDivisionError
        assert path.read_text() == "by cyclecast"

    def test_follows_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "page.html")
        with output_file(tmp_path / "link", "by cyclecast") as place:
            place.write_text("by cyclecast")
        assert (tmp_path / "page.html").read_text() == "by cyclecast"
        assert (tmp_path / "link").is_symlink()

    def test_may_be_a_device(self) -> None:
        with output_file(os.devnull, "by cyclecast") as place:
            place.write_text("ours")
        assert not Path(os.devnull).is_file()

    @pytest.mark.parametrize("name", ["", "no/such/page.html"])
    def test_that_cannot_be_written(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(OptionError, match="it cannot be written"), output_file(tmp_path / name, "x") as place:
            place.write_text("ours")
