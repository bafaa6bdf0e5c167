"""Record databases that somebody has edited, or put in the place of ours."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from cyclecast.workflow.database import Database
from test_workflow_database import QUESTION, answer, record, refused


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.db"


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE search SET outcome = json_set(outcome, '$.certificate.lower', 1)",
        "UPDATE search SET outcome = json_set(outcome, '$.note', 'best of all')",
        "UPDATE search SET outcome = json_remove(outcome, '$.digest')",
        "UPDATE search SET outcome = NULL",
        "UPDATE search SET timed = timed + 1",
        "UPDATE search SET trials = trials + 1",
        "UPDATE record SET timing = json_set(timing, '$.cycle_fs', 7) WHERE id = 2",
        "DELETE FROM record WHERE id = 2",
        "INSERT INTO record SELECT 3, search_id, seconds, mapping, timing FROM record WHERE id = 1",
    ],
)
def test_an_edited_answer_says_so(file: Path, edit: str) -> None:
    with Database(file) as database:
        answer(database, QUESTION, [record(), record()])
        found = database.answered(QUESTION)
        assert found is not None
        assert found.whole
    with sqlite3.connect(file) as connection:
        connection.execute(edit)
    connection.close()
    with Database(file) as database:
        found = database.answered(QUESTION)
        assert found is not None
        assert not found.whole


@pytest.mark.parametrize("suffix", ["", "-journal", "-wal", "-shm"])
def test_nothing_is_written_through_a_link(file: Path, suffix: str) -> None:
    with Database(file) as database:
        answer(database, QUESTION, [record()])
    mine = file.parent / "mine"
    mine.write_bytes(file.read_bytes())
    link = Path(f"{file}{suffix}")
    link.unlink(missing_ok=True)
    for target in (mine, file.parent / "nothing"):
        link.symlink_to(target)
        before = mine.read_bytes()
        assert "must be a file, not a link" in refused(file)
        assert (mine.read_bytes(), (file.parent / "nothing").exists()) == (before, False)
        link.unlink()
    os.mkfifo(link)
    assert "must be a file, not a link, a pipe" in refused(file)


ENDLESS = "WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@pytest.mark.parametrize(
    "edit",
    [
        f"CREATE TRIGGER t AFTER INSERT ON search BEGIN SELECT * FROM ({ENDLESS}); END",
        f"DROP TABLE record; CREATE VIEW record AS {ENDLESS}",
    ],
)
def test_a_file_that_runs_statements_is_refused(file: Path, edit: str) -> None:
    with Database(file) as database:
        answer(database, QUESTION, [record()])
    with sqlite3.connect(file) as connection:
        connection.executescript(edit)
    connection.close()
    assert "it holds triggers, or views in the place of tables" in refused(file)
