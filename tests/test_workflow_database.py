from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.device import Device
from cyclecast.errors import DatabaseError
from cyclecast.mapping import Mapping
from cyclecast.mapspace import SketchSize, grant
from cyclecast.search import SearchResult
from cyclecast.search._result import Certificate, ParetoPoint
from cyclecast.timing import Analytical
from cyclecast.units import Energy, Time
from cyclecast.workflow.database import FORMAT, Answer, Database, Question, Record
from strategies import mappings, matrix_vector

TINY = Device.load("tiny")
QUESTION = Question(
    kernel="kernel", device="device", timing="timing", strategy="strategy", trials=64, seed=0, versions="versions"
)

OUTCOME = SearchResult(
    "exhaustive",
    "a note",
    (SketchSize("im2col", 10**40, 7),),
    Certificate(7, 3, Time(10), Time(11), Time(9)),
    (ParetoPoint(grant(matrix_vector(20, 5), TINY, {}), Time(10), Energy(10**20), 3),),
)


def record(pixels: int = 9) -> Record:
    mapping = grant(matrix_vector(20, 5, pixels=pixels), TINY, {})
    return Record(mapping, Analytical().time(mapping, TINY))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.db"


def known(database: Database, question: Question) -> list[Record] | None:
    """The records of an answer."""
    found = database.answered(question)
    return None if found is None else found.records


def answer(database: Database, question: Question, records: list[Record]) -> None:
    search = database.start(question)
    database.add(search, records)
    database.finish(search, 1000, OUTCOME)


def test_records_come_back_in_order_after_reopening(file: Path) -> None:
    records = [record(pixels) for pixels in (5, 3, 8)]
    with Database(file) as database:
        search = database.start(QUESTION)
        database.add(search, records[:2])
        database.add(search, records[2:])
        database.finish(search, 1000, OUTCOME)
    with Database(file) as database:
        assert known(database, QUESTION) == records
        assert database.count() == 3


@given(st.lists(mappings(), min_size=1, max_size=4))
def test_any_record_comes_back_as_it_was(drawn: list[tuple[Mapping, Device]]) -> None:
    records = [Record(mapping, Analytical().time(mapping, device)) for mapping, device in drawn]
    with Database("sqlite://") as database:
        answer(database, QUESTION, records)
        assert known(database, QUESTION) == records


def test_an_unfinished_search_is_no_answer(file: Path) -> None:
    with Database(file) as database:
        database.add(database.start(QUESTION), [record()])
        assert database.answered(QUESTION) is None
        assert database.count() == 1


@pytest.mark.parametrize("field", ["kernel", "device", "timing", "strategy", "versions", "seed"])
def test_another_question_is_not_answered(field: str) -> None:
    other: dict[str, Any] = {field: 1 if field == "seed" else "other"}
    with Database("sqlite://") as database:
        answer(database, QUESTION, [record()])
        assert database.answered(replace(QUESTION, **other)) is None


@pytest.mark.parametrize(("trials", "known"), [(1, True), (63, True), (64, True), (65, False)])
def test_an_answer_needs_at_least_the_trials(trials: int, known: bool) -> None:
    with Database("sqlite://") as database:
        answer(database, QUESTION, [record()])
        assert (database.answered(replace(QUESTION, trials=trials)) is not None) == known


def test_the_first_of_several_answers_stays_the_answer() -> None:
    with Database("sqlite://") as database:
        database.add(database.start(QUESTION), [record(1)])  # never finished
        answer(database, QUESTION, [record(2)])
        answer(database, replace(QUESTION, trials=128), [record(3)])
        assert known(database, QUESTION) == [record(2)]
        assert known(database, replace(QUESTION, trials=65)) == [record(3)]


def test_a_batch_is_added_whole_or_not_at_all(file: Path) -> None:
    def fails_late() -> Any:
        yield record(1)
        yield record(2)
        raise KeyboardInterrupt

    with Database(file) as database:
        search = database.start(QUESTION)
        database.add(search, [record()])
        with pytest.raises(KeyboardInterrupt):
            database.add(search, fails_late())
        assert database.count() == 1


BATCH = 400
WRITER = f"""
import os, signal, sys
from sqlalchemy import Engine, event
from test_workflow_database import QUESTION, Database, record

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

with Database(sys.argv[1]) as database:
    search = database.start(QUESTION)
    database.add(search, [record()] * {BATCH})
    if sys.argv[2] != "never":
        event.listen(Engine, sys.argv[2], die)
    while True:
        database.add(search, [record()] * {BATCH})
        print("added", flush=True)
"""


def writer(file: Path, dies: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(file), dies]
    return subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)


def require_sound(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


@pytest.mark.parametrize("moment", ["after_cursor_execute", "commit"])
def test_killed_in_the_middle_of_a_batch_leaves_the_batches_before(file: Path, moment: str) -> None:
    with writer(file, moment) as process:
        assert process.wait(60) == -signal.SIGKILL
    assert file.with_name("records.db-journal").exists()  # killed inside a transaction, indeed
    with Database(file) as database:
        assert database.count() == BATCH
        assert database.answered(QUESTION) is None
        answer(database, QUESTION, [record(3)])
        assert known(database, QUESTION) == [record(3)]
    require_sound(file)


@pytest.mark.parametrize("delay", [0.0, 0.013, 0.029])
def test_killed_at_any_moment_leaves_whole_batches(file: Path, delay: float) -> None:
    with writer(file, "never") as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.kill()
        added = 2 + len(process.stdout.readlines())
    with Database(file) as database:
        batches, rest = divmod(database.count(), BATCH)
    assert rest == 0
    assert added <= batches <= added + 1  # one may have been added but not told
    require_sound(file)


def test_several_may_open_a_new_file_at_the_same_moment(file: Path) -> None:
    together = Barrier(4)

    def opened(_: int) -> int:
        together.wait()
        with Database(file) as database:
            return database.count()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(opened, range(4))) == [0, 0, 0, 0]


def test_two_writers_wait_for_each_other(file: Path) -> None:
    together = Barrier(2)

    def write(seed: int) -> list[Record] | None:
        question = replace(QUESTION, seed=seed)
        with Database(file) as database:
            together.wait()
            search = database.start(question)
            for _ in range(20):
                database.add(search, [record(seed)] * 3)
            database.finish(search, 1000, OUTCOME)
            return known(database, question)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(write, (1, 2))) == [[record(1)] * 60, [record(2)] * 60]
    with Database(file) as database:
        assert database.count() == 120


def refused(location: str | Path) -> str:
    with pytest.raises(DatabaseError) as raised:
        Database(location)
    assert raised.value.where == str(location)
    assert raised.value.bound
    assert raised.value.lever
    return str(raised.value).removeprefix(str(location))


def test_a_corrupt_file_is_refused_and_kept(file: Path) -> None:
    file.write_bytes(b"not a database" * 1000)
    assert refused(file) == (
        ": opening the records failed, file is not a database; try another --out folder, or restore the file"
    )
    assert file.read_bytes() == b"not a database" * 1000


def test_a_cut_file_is_refused(file: Path) -> None:
    with Database(file) as database:
        answer(database, QUESTION, [record()] * 100)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DatabaseError, match="malformed"), Database(file) as database:
        database.answered(QUESTION)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "unable to open database file" in refused(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "unable to open database file" in refused(tmp_path / "missing" / "records.db")


@pytest.mark.parametrize("url", ["nonsense://host/base", "sqlite://host/base", "://"])
def test_a_bad_url_is_refused(url: str) -> None:
    assert ": opening the records failed, " in refused(url)


@pytest.mark.parametrize("version", [FORMAT + 1, 99])
def test_a_newer_format_is_refused_and_kept(file: Path, version: int) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    before = file.read_bytes()
    assert refused(file) == f": tables of version {version}, this release reads 1 to {FORMAT}; try another file"
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", ["with space.db", "ques?tion=1.db", "per%20cent.db", "colon:.db"])
def test_any_file_name_is_a_file_name(tmp_path: Path, name: str) -> None:
    with Database(tmp_path / name) as database:
        answer(database, QUESTION, [record()])
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_an_unknown_search_cannot_be_finished() -> None:
    with (
        Database("sqlite://") as database,
        pytest.raises(DatabaseError, match=r"^sqlite://: writing the records failed"),
    ):
        database.finish(7, 1, OUTCOME)


def test_a_seed_too_large_for_the_tables_is_refused() -> None:
    question = replace(QUESTION, seed=2**64)
    with Database("sqlite://") as database:
        with pytest.raises(DatabaseError, match=r"^sqlite://: writing the records failed, .*too large"):
            database.start(question)
        with pytest.raises(DatabaseError, match=r"^sqlite://: reading the records failed, .*too large"):
            database.answered(question)


def _without_levels() -> str:
    return json.dumps({name: value for name, value in record().mapping.to_json().items() if name != "levels"})


def _breaking_a_law() -> str:
    return json.dumps(record().mapping.to_json() | {"word_lines": 21})


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("mapping", "{", "JSONDecodeError: "),
        ("mapping", "null", "ValueError: value: Input should be an object"),
        ("mapping", "[1, 2]", "ValueError: "),
        ("mapping", _without_levels(), "ValueError: levels: Field required"),
        ("mapping", _breaking_a_law(), "MappingError: mapping of small: word_lines: 21, 1 to 20 are possible"),
        ("timing", "{}", "KeyError: 'phases'"),
        ("timing", '{"phases": [], "cycle_fs": -1}', "ValueError: a timing without phases"),
        ("timing", '{"phases": [{}], "cycle_fs": 1}', "KeyError: 'name'"),
    ],
)
def test_an_unreadable_record_says_which(file: Path, column: str, text: str, reason: str) -> None:
    with Database(file) as database:
        answer(database, QUESTION, [record(), record()])
    with sqlite3.connect(file) as connection:
        connection.execute(f"UPDATE record SET {column} = ? WHERE id = 2", (text,))
    connection.close()
    with Database(file) as database, pytest.raises(DatabaseError) as raised:
        database.answered(QUESTION)
    assert str(raised.value).startswith(f"{file}: record 2: it cannot be read, {reason}")
    assert raised.value.lever == "removing it"


def test_the_outcome_comes_back_as_it_was(file: Path) -> None:
    with Database(file) as database:
        answer(database, QUESTION, [record()])
    with Database(file) as database:
        assert database.answered(QUESTION) == Answer([record()], 1000, OUTCOME)


def test_an_unreadable_outcome_says_which(file: Path) -> None:
    with Database(file) as database:
        answer(database, QUESTION, [record()])
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE search SET outcome = '{}'")
    connection.close()
    with Database(file) as database, pytest.raises(DatabaseError, match="search 1: it cannot be read, KeyError"):
        database.answered(QUESTION)


VERSION_1 = """
CREATE TABLE search (id INTEGER NOT NULL, kernel VARCHAR NOT NULL, device VARCHAR NOT NULL, timing VARCHAR NOT NULL,
    strategy VARCHAR NOT NULL, trials INTEGER NOT NULL, seed INTEGER NOT NULL, versions VARCHAR NOT NULL,
    started VARCHAR NOT NULL, finished BOOLEAN NOT NULL, PRIMARY KEY (id));
CREATE TABLE record (id INTEGER NOT NULL, search_id INTEGER NOT NULL, seconds FLOAT NOT NULL, mapping VARCHAR NOT NULL,
    timing VARCHAR NOT NULL, PRIMARY KEY (id), FOREIGN KEY(search_id) REFERENCES search (id));
PRAGMA user_version = 1;
INSERT INTO search VALUES (1, 'kernel', 'device', 'timing', 'strategy', 64, 0, 'versions', '2026-11-01', 1);
"""


def test_a_file_of_version_1_is_read_and_goes_on_as_the_present_one(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.executescript(VERSION_1)
        row = record()
        mapping, timing = json.dumps(row.mapping.to_json()), json.dumps(row.timing.to_json())
        connection.execute("INSERT INTO record VALUES (1, 1, 1.0, ?, ?)", (mapping, timing))
    connection.close()
    for _ in range(2):
        with Database(file) as database:
            assert database.answered(QUESTION) == Answer([record()], 1, SearchResult("strategy"), whole=False)
    with Database(file) as database:
        answer(database, replace(QUESTION, seed=1), [record()])
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    connection.close()
