"""MetaSchedule works in several threads unless told otherwise: our parts are the same there."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from tvm.s_tir import TensorIntrin

from cyclecast.device import Device
from cyclecast.mapspace import default_mapping
from cyclecast.schedule import decided_schedule, lowered, read
from cyclecast.schedule._intrinsics import Tile, mvm_intrinsic, program_intrinsic
from kernels import conv

pytestmark = pytest.mark.tvm

TESTS = Path(__file__).parent
THREADS = 8

PROGRAM = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
"""
PROGRAM += """
from tvm.s_tir import meta_schedule as ms
from tvm.target import Target
from cyclecast import tvm as cim
from cyclecast.device import Device
from cyclecast.schedule import as_module, read
from cyclecast.timing import Analytical
from kernels import conv

device, kernel = Device.load("tiny"), conv(size=(5, 5), channels=3, filters=7, kernel=(3, 3))
search = ms.search_strategy.EvolutionarySearch(
    population_size=16, init_measured_ratio=0.0, init_min_unmeasured=8, genetic_num_iters=1
)
for name in ("space", "lowered_space"):
    database = ms.tune_tir(
        as_module(kernel.function), Target({"kind": "llvm", "num-cores": 4}), f"{sys.argv[1]}/{name}", 16,
        builder=cim.builder(), runner=cim.runner(device), cost_model=cim.cost_model(device),
        space=getattr(cim, name)(device), strategy=search, **eval(sys.argv[2]),
    )
    for record in database.get_all_tuning_records():
        module = record.as_measure_candidate().sch.mod
        seconds = Analytical().time(read(module, device), device).total.seconds
        assert abs(float(record.run_secs[0]) / seconds - 1) < 1e-9, name
        assert ("cim.sketch" in module.script()) == (name == "space"), name
    print(name, len(database), file=sys.stderr)
"""


THREADS_OF_TVM = [
    pytest.param("{}", marks=pytest.mark.long, id="default"),
    pytest.param('{"num_tuning_cores": 8}', id="eight"),
]


@pytest.mark.parametrize("threads", THREADS_OF_TVM)
def test_tune_tir_with_threads(threads: str, tmp_path: Path) -> None:
    """In a process of its own, which has no intrinsic yet: as many threads as TVM takes, and more than are there."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), threads],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    counts = [line.split()[-1] for line in done.stderr.splitlines() if line.startswith(("space ", "lowered_space "))]
    assert len(counts) == 2
    assert min(map(int, counts)) >= 8


def test_an_intrinsic_is_registered_once_by_many_threads() -> None:
    barrier = Barrier(THREADS)

    def names(size: int) -> tuple[str, str]:
        barrier.wait()
        tile = Tile(size, 11, "uint8", "int16", "int32")
        return mvm_intrinsic(tile, "native"), program_intrinsic(tile)

    with ThreadPoolExecutor(THREADS) as pool:
        for size in range(90, 96):
            found = list(pool.map(names, [size] * THREADS))
            assert len(set(found)) == 1
            assert all(TensorIntrin.get(name) is not None for name in found[0])


def test_many_threads_lower_and_read_alike() -> None:
    device = Device.load("tiny")
    kernel = conv(size=(5, 5), channels=3, filters=7, kernel=(3, 3))
    mapping = default_mapping(kernel.workload, device)
    module = decided_schedule(kernel.function, device, mapping).mod
    expected = lowered(module, device).script()

    def one(_: int) -> tuple[bool, bool]:
        low = lowered(module, device)
        return low.script() == expected, read(low, device) == mapping == read(module, device)

    with ThreadPoolExecutor(THREADS) as pool:
        assert set(pool.map(one, range(2 * THREADS))) == {(True, True)}
