"""Tuning whole networks, of kernels made by hand."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from cyclecast.device import Device
from cyclecast.errors import BehaviourError, DatabaseError, FitError, OptionError
from cyclecast.mapping import Mapping, Mappings, require_fit
from cyclecast.mapspace import choices, grant
from cyclecast.network import Network
from cyclecast.schedule import as_module, lowered_function, read
from cyclecast.timing import Analytical, Phase, Timing
from cyclecast.workflow.database import Database
from cyclecast.workflow.job import kernel_hash
from cyclecast.workflow.tuning import Progress, Tuned, estimate, tune
from kernels import Window, batch_matmul, conv, dense, network

pytestmark = pytest.mark.tvm

TINY = Device.load("tiny")
ISAAC = Device.load("isaac")
SMALL = "evolution:population=24,generations=2"
STRATEGIES = ["random", SMALL]


def small() -> Network:
    """A convolution, a dense layer and a batch matrix product."""
    return network(
        conv(size=(6, 6), channels=4, filters=6, kernel=(3, 3), window=Window(padding=1)),
        dense(batch=3, features=30, filters=9),
        batch_matmul(batch=3, rows=4, features=10, filters=3),
    )


def as_json(tuned: Tuned) -> str:
    """Everything that a tuning found."""
    found = [
        {"mapping": entry.mapping.to_json(), "timing": entry.timing.to_json(), "candidates": entry.candidates}
        for entry in tuned.workloads
    ]
    return json.dumps({"total": tuned.total.femtoseconds, "workloads": found})


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_seed_decides_what_is_looked_at_and_found(strategy: str, tmp_path: Path) -> None:
    """Two runs of a seed time the same mappings in the same order; another seed times others."""
    found, seen = list[str](), list[Any]()
    for place, seed in enumerate((1, 1, 2)):
        database = tmp_path / f"{place}.db"
        found.append(as_json(tune(small(), TINY, trials=12, strategy=strategy, seed=seed, database=database)))
        seen.append(rows(database, "select mapping from record order by id"))
    assert found[0] == found[1]
    assert seen[0] == seen[1] != seen[2]


def rows(database: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


PROGRAM = """
import sys
from test_workflow_tuning import SMALL, TINY, as_json, small, tune
sys.stdout.write(as_json(tune(small(), TINY, trials=12, strategy=SMALL, seed=3, database=sys.argv[1])))
"""


def test_two_processes_with_their_own_databases_agree(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "a.db")]
    other = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent).stdout
    assert other == as_json(tune(small(), TINY, trials=12, strategy=SMALL, seed=3, database="sqlite://"))


def test_the_place_in_the_network_does_not_matter() -> None:
    forwards = tune(small(), TINY, trials=12, strategy="random")
    members = tuple(reversed(small().members))
    backwards = tune(Network("backwards", members, (), small().program), TINY, trials=12, strategy="random")
    assert [entry.mapping for entry in backwards.workloads] == [entry.mapping for entry in reversed(forwards.workloads)]


@pytest.mark.parametrize("device", [TINY, ISAAC, TINY.vary("levels.pe.count", 5)], ids=["tiny", "isaac", "more"])
@pytest.mark.parametrize("timing", ["analytical", "poster", "fixed"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_result_is_worse_than_the_estimate(device: Device, timing: str, strategy: str) -> None:
    before = estimate(small(), device, timing=timing)
    after = tune(small(), device, trials=8, timing=timing, strategy=strategy)
    for default, found in zip(before.workloads, after.workloads, strict=True):
        assert found.timing.total <= default.timing.total
        assert found.member == default.member
        assert 1 < found.candidates <= 9  # the default too; a search may find no more that is new
        assert not found.reused
        require_fit(found.mapping, device)
    assert after.total <= before.total


@pytest.mark.parametrize("strategy", [SMALL, pytest.param("random", marks=pytest.mark.long)])
def test_a_search_comes_close_to_the_best_of_all_decisions(strategy: str) -> None:
    """6,144 combinations or more of im2col for each workload, which mean some hundred mappings, timed at once."""
    for entry in tune(small(), TINY, trials=256, strategy=strategy).workloads:
        offers = choices(entry.member.workload, TINY)
        combinations = (dict(zip(offers, values, strict=True)) for values in product(*offers.values()))
        every = Mappings.of(list({grant(entry.member.workload, TINY, asked) for asked in combinations}))
        best = int(Analytical().times(every, TINY).total.min())
        assert entry.timing.total.femtoseconds <= 1.25 * best


def test_counts_are_in_the_total() -> None:
    found = estimate(small(), TINY)
    first, second, third = (entry.timing.total for entry in found.workloads)
    assert found.total == first + 2 * second + 3 * third


def test_what_is_found_is_what_the_lowered_kernel_says() -> None:
    for entry in tune(small(), TINY, trials=8, strategy="random").workloads:
        function = lowered_function(small().program[entry.member.kernel], entry.mapping)
        assert read(as_module(function), TINY) == entry.mapping


def collect(into: list[Progress]) -> Callable[[Progress], None]:
    return into.append


def test_progress_is_told_after_every_batch() -> None:
    told: list[Progress] = []
    tuned = tune(small(), TINY, trials=80, strategy="random", progress=collect(told))
    for position, entry in enumerate(tuned.workloads):
        mine = [step for step in told if step.position == position]
        assert [step.done for step in mine] == [False] * (len(mine) - 1) + [True]
        assert len(mine) >= 3  # 64 candidates, the rest, the end
        assert [step.timed for step in mine] == sorted(step.timed for step in mine)
        totals = [step.best.total for step in mine if step.best]
        assert len(totals) == len(mine)
        assert totals == sorted(totals, reverse=True)
        assert (mine[-1].timed, mine[-1].best, mine[-1].member) == (entry.candidates, entry.timing, entry.member)
        assert not any(step.reused for step in mine)


def test_a_second_run_reuses_everything_and_says_so(tmp_path: Path) -> None:
    database = tmp_path / "records.db"
    first = tune(small(), TINY, trials=12, strategy=SMALL, database=database)
    records = count(database)
    told: list[Progress] = []
    second = tune(small(), TINY, trials=12, strategy=SMALL, database=database, progress=collect(told))
    assert as_json(second) == as_json(first)
    assert all(entry.reused for entry in second.workloads)
    assert [(step.position, step.reused, step.done) for step in told] == [(at, True, True) for at in range(3)]
    assert count(database) == records == sum(entry.candidates for entry in first.workloads)


def count(database: Path) -> int:
    with Database(database) as records:
        return records.count()


@pytest.mark.parametrize(
    ("changed", "reused"),
    [
        ({"trials": 11}, True),
        ({"trials": 13}, False),
        ({"seed": 1}, False),
        ({"timing": "poster"}, False),
        ({"strategy": SMALL}, False),
        ({"device": TINY.vary("array.read", "20 ns")}, False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_an_answer_is_reused_for_the_same_question_only(tmp_path: Path, changed: dict[str, Any], reused: bool) -> None:
    asked: dict[str, Any] = {"device": TINY, "trials": 12, "strategy": "random", "database": tmp_path / "records.db"}
    tune(small(), **asked)
    again = tune(small(), **(asked | changed))
    assert {entry.reused for entry in again.workloads} == {reused}


def test_equal_kernels_share_their_hash() -> None:
    first, second, third = (small().program[f"kernel{position}"] for position in range(3))
    assert kernel_hash(first) == kernel_hash(small().program["kernel0"])
    assert kernel_hash(first) == kernel_hash(first.with_attr("global_symbol", "another"))
    assert len({kernel_hash(function) for function in (first, second, third)}) == 3


@dataclass(frozen=True)
class FewArrays:
    """The fewer arrays, the better."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        return Timing((Phase("arrays", mapping.arrays * device.array.read),), device.array.read)


def test_a_timing_model_of_ones_own_is_obeyed() -> None:
    usual = tune(small(), TINY, trials=48, strategy=SMALL)
    frugal = tune(small(), TINY, trials=48, strategy=SMALL, timing=FewArrays())
    used = [sum(entry.mapping.arrays for entry in tuned.workloads) for tuned in (usual, frugal)]
    assert used[1] * 2 <= used[0]


@dataclass(frozen=True)
class NoSingleFilters:
    """Refuses every mapping with one filter an array."""

    def time(self, mapping: Mapping, device: Device) -> Timing:
        if mapping.filters == 1:
            raise BehaviourError("model", "one filter an array")
        return FewArrays().time(mapping, device)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_candidates_that_the_model_refuses_are_left_out(strategy: str, tmp_path: Path) -> None:
    database = tmp_path / "records.db"
    tune(small(), TINY, trials=24, timing=NoSingleFilters(), strategy=strategy, database=database)
    filters = {json.loads(mapping)["filters"] for (mapping,) in rows(database, "select mapping from record")}
    assert filters == {2}
    if strategy == "random":
        assert count(database) < 3 * 25


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "error",
    [DatabaseError("records.db", "writing the records failed"), KeyError("mine"), KeyboardInterrupt()],
    ids=repr,
)
def test_what_the_progress_callback_raises_comes_out_unchanged(error: BaseException, strategy: str) -> None:
    def fail(_: Progress) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        tune(small(), TINY, trials=8, strategy=strategy, progress=fail)
    assert caught.value is error


def test_an_interrupted_tuning_is_completed_by_the_next(tmp_path: Path) -> None:
    database = tmp_path / "records.db"

    def interrupt(progress: Progress) -> None:
        if progress.position == 1 and not progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(small(), TINY, trials=80, strategy="random", database=database, progress=interrupt)
    kept = count(database)
    assert kept > 80  # all of the first workload, the first batch of the second
    told: list[Progress] = []
    second = tune(small(), TINY, trials=80, strategy="random", database=database, progress=collect(told))
    assert [entry.reused for entry in second.workloads] == [True, False, False]
    third = tune(small(), TINY, trials=80, strategy="random", database=database)
    assert [entry.reused for entry in third.workloads] == [True, True, True]
    assert as_json(third) == as_json(second) == as_json(tune(small(), TINY, trials=80, strategy="random"))


INTERRUPTED = """
import signal, sys
from cyclecast.mapspace import choices, grant
from cyclecast.device import Device
from kernels import conv, network
from test_workflow_tuning import tune
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us without
large = network(conv(size=(28, 28), channels=64, filters=64, kernel=(3, 3)))
tune(large, Device.load("isaac"), trials=100_000, strategy=sys.argv[2], database=sys.argv[1],
     progress=lambda step: print(step.timed, flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "pause"), [("random", 0.0), pytest.param("evolution", 0.05, marks=pytest.mark.long)]
)
def test_a_signal_stops_a_tuning_and_leaves_whole_batches(tmp_path: Path, strategy: str, pause: float) -> None:
    database = tmp_path / "records.db"
    command = [sys.executable, "-c", INTERRUPTED, str(database), strategy]
    with subprocess.Popen(
        command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) == 1:  # before the first batch
            pass
        time.sleep(pause)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert error.splitlines()[-1] == "KeyboardInterrupt"
    assert process.returncode == -signal.SIGINT
    assert count(database) > 1
    assert rows(database, "select finished from search") == [(0,)]


def test_ctrl_c_works_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    tune(small(), TINY, trials=2, strategy="random", progress=lambda _: None)
    assert signal.getsignal(signal.SIGINT) is before


def test_another_handler_of_ctrl_c_stays() -> None:
    def mine(number: int, frame: object) -> None:
        raise AssertionError

    seen = []
    before = signal.signal(signal.SIGINT, mine)
    try:
        tune(
            small(), TINY, trials=2, strategy="random", progress=lambda _: seen.append(signal.getsignal(signal.SIGINT))
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert set(seen) == {mine}


def test_operands_that_are_too_wide_do_not_fit() -> None:
    wide = network(dense(batch=1, features=4, filters=2, kind="int16"))
    with pytest.raises(FitError, match="16-bit activations, the device takes 8 bits"):
        tune(wide, TINY)
    with pytest.raises(FitError, match="16-bit activations, the device takes 8 bits"):
        estimate(wide, TINY)


def test_nothing_is_recorded_unless_every_workload_fits(tmp_path: Path) -> None:
    mixed = network(dense(batch=1, features=4, filters=2), dense(batch=1, features=4, filters=2, kind="int16"))
    with pytest.raises(FitError):
        tune(mixed, TINY, database=tmp_path / "records.db")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [{"trials": 0}, {"seed": -1}, {"strategy": "nothing"}, {"timing": "nothing"}])
def test_bad_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        tune(small(), TINY, **arguments)


def test_one_trial_is_enough() -> None:
    assert [entry.candidates for entry in tune(small(), TINY, trials=1, strategy="random").workloads] == [2, 2, 2]
