"""Records of searches: the timed mappings of each workload, device and timing model.

A SQL database (SQLite by default, others by URL). Searches and records are only added. A batch of records is one
transaction, so a process that is killed leaves complete batches.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Self
from weakref import finalize

from sqlalchemy import URL, Connection, ForeignKey, create_engine, event, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from cyclecast.errors import CyclecastError, DatabaseError
from cyclecast.mapping import Mapping, mapping_from_json
from cyclecast.search import SearchResult, outcome_from_json
from cyclecast.storage.reading import json_value, members, whole
from cyclecast.timing import Timing, timing_from_json

FORMAT = 2
"""Version of the tables, stored in SQLite's user_version. Tables of version 1 lack `timed` and `outcome`."""

PROGRAMS = """SELECT count(*) FROM sqlite_master
WHERE type = 'trigger' OR (name IN ('search', 'record') AND (type <> 'table' OR sql LIKE 'CREATE VIRTUAL%'))"""
"""Counts triggers and views, which SQLite runs when others read and write the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The input of a search. Equal questions have equal answers."""

    kernel: str
    """Hash of the kernel's function before scheduling."""
    device: str
    """Digest of the device."""
    timing: str
    """Identity of the timing model."""
    strategy: str
    trials: int
    seed: int
    versions: str
    """Versions of cyclecast and TVM."""


@dataclass(frozen=True, slots=True)
class Record:
    """One timed candidate."""

    mapping: Mapping
    timing: Timing


class Answer(NamedTuple):
    """The result of a search."""

    records: list[Record]
    """Timed mappings; of millions, the default mapping and those that improved the best time."""
    timed: int
    outcome: SearchResult
    whole: bool = True
    """Whether the digest (no signature) matches the records and the outcome; version 1 has no digest."""


class _Base(DeclarativeBase):
    pass


class _Search(_Base):
    __tablename__ = "search"
    id: Mapped[int] = mapped_column(primary_key=True)
    kernel: Mapped[str] = mapped_column(index=True)
    device: Mapped[str]
    timing: Mapped[str]
    strategy: Mapped[str]
    trials: Mapped[int]
    seed: Mapped[int]
    versions: Mapped[str]
    started: Mapped[str]
    finished: Mapped[bool] = mapped_column(default=False)
    timed: Mapped[int | None]
    outcome: Mapped[str | None]


class _Record(_Base):
    __tablename__ = "record"
    id: Mapped[int] = mapped_column(primary_key=True)
    search_id: Mapped[int] = mapped_column(ForeignKey("search.id"), index=True)
    seconds: Mapped[float]
    """For sorting by other programs; `timing` has the exact time."""
    mapping: Mapped[str]
    timing: Mapped[str]


class Database:
    """Searches and their records; a context manager. One that is not closed is closed when nobody holds it any more."""

    def __init__(self, location: str | Path) -> None:
        """Open the database at a path or a URL; create missing tables. Raises `DatabaseError`."""
        text = str(location)
        self.location = text
        with self._guard("opening"):
            self._engine = create_engine(text if "://" in text else URL.create("sqlite", database=text))
            finalize(self, self._engine.dispose)  # also where opening fails below
            if self._engine.dialect.name == "sqlite":
                _require_file(self._engine.url.database or "")
                event.listen(self._engine, "connect", _wait_for_other_writers)
            with self._engine.begin() as connection:
                self._create(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file or the connection."""
        self._engine.dispose()

    def start(self, question: Question) -> int:
        """Begin a search; return its number, which its records refer to."""
        with self._guard("writing"), Session(self._engine) as session, session.begin():
            search = _Search(**asdict(question), started=datetime.now(UTC).isoformat(timespec="seconds"))
            session.add(search)
            session.flush()
            return search.id

    def add(self, search: int, records: Iterable[Record]) -> None:
        """Add a batch of records: all of them or none."""
        with self._guard("writing"), Session(self._engine) as session, session.begin():
            session.add_all(
                _Record(
                    search_id=search,
                    seconds=record.timing.total.seconds,
                    mapping=json.dumps(record.mapping.to_json()),
                    timing=json.dumps(record.timing.to_json()),
                )
                for record in records
            )

    def finish(self, search: int, timed: int, outcome: SearchResult) -> None:
        """Mark a search as complete; from now on its answer can be reused."""
        with self._guard("writing"), Session(self._engine) as session, session.begin():
            row, value = session.get_one(_Search, search), outcome.to_json()
            row.finished, row.timed = True, timed
            row.outcome = json.dumps(value | {"digest": _digest(row, value, _rows(session, row))})

    def answered(self, question: Question, skip: int = 0) -> Answer | None:
        """The answer of the first finished search with the same question and at least its trials, or None.

        `skip` leaves out the first such searches.
        """
        wanted = asdict(question)
        trials = wanted.pop("trials")
        with self._guard("reading"), Session(self._engine) as session:
            found = session.scalars(
                select(_Search)
                .filter_by(**wanted, finished=True)
                .where(_Search.trials >= trials)
                .order_by(_Search.id)
                .offset(skip)
            ).first()
            if found is None:
                return None
            rows = _rows(session, found)
            records = [self._record(row) for row in rows]
            with _readable(f"{self.location}: search {found.id}"):
                timed = len(records) if found.timed is None else whole(found.timed)
                if found.outcome is None:  # version 1
                    return Answer(records, timed, SearchResult(found.strategy), whole=False)
                value = dict(members(json_value(found.outcome)))
                digest = value.pop("digest", "")
                return Answer(records, timed, outcome_from_json(value), digest == _digest(found, value, rows))

    def count(self) -> int:
        """Number of records."""
        with self._guard("reading"), Session(self._engine) as session:
            return session.scalar(select(func.count()).select_from(_Record)) or 0

    def _record(self, row: _Record) -> Record:
        with _readable(f"{self.location}: record {row.id}"):
            return Record(mapping_from_json(json_value(row.mapping)), timing_from_json(json_value(row.timing)))

    def _create(self, connection: Connection) -> None:
        if connection.dialect.name != "sqlite":
            _Base.metadata.create_all(connection)
            return
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # two processes may open a new file at the same time
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if version == 1:
            for column in ("timed INTEGER", "outcome VARCHAR"):
                connection.exec_driver_sql(f"ALTER TABLE search ADD COLUMN {column}")
        elif version == 0 and connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one():
            lever = "another --out folder"
            raise DatabaseError(
                self.location, "it holds tables of something else", "a file of records is needed", lever
            )
        elif version not in (0, FORMAT):
            raise DatabaseError(
                self.location, f"tables of version {version}", f"this release reads 1 to {FORMAT}", "another file"
            )
        if version and connection.exec_driver_sql(PROGRAMS).scalar_one():
            what = "it holds triggers, or views in the place of tables"
            raise DatabaseError(self.location, what, "a file of records is needed", "another --out folder")
        _Base.metadata.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA user_version = {FORMAT}")

    @contextmanager
    def _guard(self, what: str) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, ImportError, OverflowError) as error:  # ImportError: a URL whose driver is missing
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise DatabaseError(
                self.location, f"{what} the records failed", reason, "another --out folder, or restore the file"
            ) from error


def _wait_for_other_writers(connection: Any, _: object) -> None:
    connection.execute("PRAGMA busy_timeout = 10000")


def _require_file(path: str) -> None:
    """Raise `DatabaseError` if the database, or a file that SQLite keeps beside it, is a link or no file."""
    for each in (path, *(f"{path}{suffix}" for suffix in ("-journal", "-wal", "-shm"))):
        kind = stat.S_IFMT(os.lstat(each).st_mode) if os.path.lexists(each) else stat.S_IFREG
        if kind not in (stat.S_IFREG, stat.S_IFDIR):  # SQLite itself refuses a folder
            what, lever = "it" if each == path else each, "another path, or the one that a link leads to"
            raise DatabaseError(path, f"{what} must be a file", "not a link, a pipe or a device", lever)


def _rows(session: Session, search: _Search) -> Sequence[_Record]:
    """The records of a search, in order."""
    return session.scalars(select(_Record).where(_Record.search_id == search.id).order_by(_Record.id)).all()


def _digest(search: _Search, outcome: dict[str, Any], rows: Iterable[_Record]) -> str:
    """Digest of the question, the answer and all timed mappings."""
    asked = [getattr(search, field.name) for field in fields(Question)]
    made = [asked, search.timed, outcome, [[row.mapping, row.timing] for row in rows]]
    return sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()


@contextmanager
def _readable(where: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, CyclecastError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DatabaseError(where, "it cannot be read", reason, "removing it") from error
