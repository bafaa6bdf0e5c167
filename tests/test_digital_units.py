"""Operators that arrays do not compute: chains of a network, where they are computed, and how long it takes."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import networks
from cyclecast import load, place, tune
from cyclecast.device import Device, OperationClass
from cyclecast.energy import area
from cyclecast.errors import DeviceError
from cyclecast.mapping import Factors, LevelFactors, Mapping
from cyclecast.network import Axis, DigitalOperator, Kind, Workload
from cyclecast.placement import Placement, next_changes, simulate
from cyclecast.placement._units import spread
from cyclecast.timing import homes, host_chains, unit_times, units_of, work_of
from cyclecast.units import Area, Time
from placed import mobilenet_v2, placed
from strategies import sketched_mappings

ISAAC = Device.load("isaac")
CLASSES = [str(each) for each in OperationClass]


def unit(name: str, *does: str, **more: object) -> dict[str, object]:
    return {"name": name, "does": list(does), "rate": "1 GHz", "power": "0 W", "area": "0 mm2"} | more


def with_units(device: str, level: str, *units: dict[str, object]) -> Device:
    """A device of the library with these units at one level, and no others."""
    said: dict[str, Any] = Device.load(device).to_json()
    levels = [{key: value for key, value in each.items() if key != "units"} for each in said["levels"]]
    return Device.from_json(said | {"levels": [e | ({"units": units} if e["name"] == level else {}) for e in levels]})


def operator(chain: int, *work: tuple[str, int], after: int = 0, **more: int) -> DigitalOperator:
    sizes = {"operations": 0, "through": 0, "loads": 0, "stores": 0} | more
    return DigitalOperator("some", chain=chain, after=after, work=work, **sizes)


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two convolutions of 4 x 4 pixels and 8 filters, a residual sum, pooling, a dense layer and a softmax."""
    graph = networks.Graph()
    first = graph.relu(graph.conv("input", 3, 8, 3))
    second = graph.relu(graph.node("Add", graph.conv(first, 8, 8, 3), first))
    flat = graph.node("Flatten", graph.node("MaxPool", second, kernel_shape=[2, 2], strides=[2, 2]))
    output = graph.node("Softmax", graph.dense(flat, 32, 10))
    file = graph.save(tmp_path_factory.mktemp("units") / "residual.onnx", [1, 3, 4, 4], output, [1, 10])
    return load(file)


@pytest.mark.tvm
class TestChains:
    def test_operators_follow_the_product_that_they_are_fused_with(self, residual: Any) -> None:
        found = [(each.name, each.chain, each.after, dict(each.work)) for each in residual.digital]
        assert found == [
            ("requantise", 0, 0, {"shift": 128}),
            ("add", 0, 0, {}),  # a bias is part of the rescaling
            ("relu", 0, 0, {"compare": 128}),
            ("requantise", 1, 1, {"shift": 128}),
            ("add", 1, 1, {}),
            ("add", 1, 1, {"add": 128}),
            ("relu", 1, 1, {"compare": 128}),
            ("max_pool2d", 2, 1, {"pool": 32 * 4}),
            ("requantise", 3, 2, {"shift": 10}),
            ("add", 3, 2, {}),
            ("softmax", 4, 2, {"softmax": 10}),
        ]

    def test_only_what_enters_and_leaves_a_chain_is_moved(self, residual: Any) -> None:
        moved = [(each.name, each.through, each.loads, each.stores) for each in residual.digital]
        sums, bias = 4 * 128, 4 * 8
        assert moved == [
            ("requantise", sums, 0, 0),
            ("add", sums, bias, 0),
            ("relu", sums, 0, sums),  # a convolution reads it, and a float32 sum
            ("requantise", sums, 0, 0),
            ("add", sums, bias, 0),
            ("add", sums, sums, 0),  # the residual comes from elsewhere
            ("relu", sums, 0, sums),
            ("max_pool2d", 0, sums, 32),  # only the dense layer reads it: activations of a byte
            ("requantise", 40, 0, 0),
            ("add", 40, 40, 40),
            ("softmax", 0, 40, 40),
        ]

    def test_the_host_loads_and_stores_a_chain_once(self, residual: Any) -> None:
        bare = with_units("isaac", "pe")
        found = homes(residual.digital, bare, {0, 1, 2})
        assert {home.why for home in found} == {"no digital units"}
        times = host_chains(found, bare)
        assert times[0] == bare.host.bandwidth.time(512 + 32 + 512)
        assert times[1] == bare.host.bandwidth.time(512 + 32 + 512 + 512)
        assert times[2] == max(bare.host.operations.time(128), bare.host.bandwidth.time(512 + 32))

    def test_a_folder_keeps_them(self, residual: Any, tmp_path: Path) -> None:
        from cyclecast.workflow import building, stored

        building.save(tune(residual, ISAAC), tmp_path / "tuned")
        assert stored.load(tmp_path / "tuned").network.digital == residual.digital


@pytest.mark.tvm
@pytest.mark.slow
class TestWholeNetworks:
    """The demands of the whole-chip model on real networks."""

    @pytest.mark.parametrize("device", ["isaac", "isaac16", "hermes64"])
    def test_resnet18_leaves_nothing_to_the_host(self, device: str, tmp_path: Path) -> None:
        chip = Device.load(device)
        network = load(networks.resnet18(tmp_path / "resnet18.onnx", size=32), device=chip)
        assert not any(home.on_host for home in homes(network.digital, chip, range(len(network.operators))))

    def test_an_lstm_on_hermes_leaves_its_input_to_the_host(self, tmp_path: Path) -> None:
        """As the paper says of its chip; the input's layout is changed before the first product."""
        torch = pytest.importorskip("torch")

        class Network(torch.nn.Module):  # type: ignore[misc, name-defined] # torch is optional
            def __init__(self) -> None:
                super().__init__()
                self.cells, self.last = torch.nn.LSTM(16, 32, batch_first=True), torch.nn.Linear(32, 10)

            def forward(self, values: Any) -> Any:
                return self.last(self.cells(values)[0][:, -1])

        chip = Device.load("hermes64")
        with warnings.catch_warnings(action="ignore"):  # PyTorch's, about attributes of its own class
            program = torch.export.export(Network().eval(), (torch.randn(1, 8, 16),))
            network = load(program, device=chip)
        found = homes(network.digital, chip, range(len(network.operators)))
        assert len(network.operators) == 9
        assert [home.operator.name for home in found if home.on_host] == ["permute_dims"]

    def test_units_and_arrays_of_isaac_are_within_three_times_its_arrays(self, tmp_path: Path) -> None:
        network = load(networks.resnet18(tmp_path / "resnet18.onnx", size=64))
        bare = with_units("isaac", "pe")
        found, alone = (place(tune(network, chip)) for chip in (ISAAC, bare))
        assert found.host == Time(0)
        assert found.with_host[0] <= 3 * alone.interval
        check = simulate(found)
        assert found.interval / check.interval == pytest.approx(1, abs=0.05)


def test_the_published_networks_of_the_tests_are_timed_as_before() -> None:
    """A network that says nothing of digital operators, and a device without units, have the arrays' interval."""
    network = mobilenet_v2()
    assert network.digital == ()
    mine: list[Placement] = [placed(network, chip) for chip in (ISAAC, with_units("isaac", "pe"))]
    assert mine[0].interval == mine[1].interval == mine[0].arrays_interval
    assert mine[0].segments == mine[1].segments


class TestHomes:
    def test_a_chain_is_the_hosts_from_the_first_operator_without_a_unit(self) -> None:
        chip = with_units("tiny", "pe", unit("alu", "shift", "add"))
        chain = [operator(0, (kind, 1)) for kind in ("shift", "divide", "add")]
        found = homes([*chain, operator(1, ("add", 1))], chip, {0})
        assert [home.on_host for home in found] == [False, True, True, False]
        assert [home.why for home in found] == ["", "no unit for divide", "after an operator of the host", ""]

    def test_what_no_product_precedes_is_the_hosts(self) -> None:
        chip = with_units("tiny", "pe", unit("alu", *CLASSES))
        assert homes([operator(0, ("add", 1), after=-1)], chip, {0})[0].why == "before the first product"
        assert homes([operator(0, ("add", 1), after=1)], chip, {0})[0].why == "its product is on the host"

    def test_the_fastest_unit_of_a_class_takes_it(self) -> None:
        one, four = unit("one", "add", count=4), unit("four", "add", per=2)
        chip = with_units("tiny", "pe", one)
        said: dict[str, Any] = chip.to_json()
        said["levels"][1]["units"] = [four]  # 2 x 2 CUs, two of which share one: half as fast as four in each PE
        (home,) = homes([operator(0, ("add", 1))], Device.from_json(said), {0})
        assert [share.unit.name for share in home.shares] == ["one"]

    def test_the_time_of_units_by_hand(self) -> None:
        """100 shifts and 60 additions on one unit of 1 GHz, in two PEs that hold columns, and on CUs within them."""
        levels = ("pe", Factors(column=2)), ("cu", Factors(pixel=2, row=1)), ("array", Factors(row=2))
        workload = small_product()
        mapping = Mapping(workload, 8, 2, tuple(LevelFactors(*level) for level in levels), Factors(pixel=2))
        for level, instances in (("pe", 2), ("cu", 4)):
            chip = with_units("tiny", level, unit("alu", "shift", "add"))
            work = work_of(homes([operator(0, ("shift", 100)), operator(0, ("add", 60))], chip, {0}))
            (time,) = unit_times(work[0], mapping, units_of(chip)).values()
            assert time == Time.parse("1 ns") * (160 // instances)

    def test_names_differ_from_those_of_components(self) -> None:
        said: dict[str, Any] = ISAAC.to_json()
        said["levels"][0]["units"][0]["name"] = "edram"
        with pytest.raises(DeviceError, match="'edram' again"):
            Device.from_json(said)

    def test_a_unit_counts_in_area_as_a_component(self) -> None:
        chip = with_units("isaac", "pe", unit("alu", "add", area="1 mm2", per=4))
        assert area(chip).of("alu") == Area.parse("42 mm2")


def small_product() -> Workload:
    axes = (("k", 16, Kind.REDUCTION), ("n", 4, Kind.FILTER), ("m", 4, Kind.PIXEL))
    return Workload("product", tuple(Axis(*axis) for axis in axes), 8, 8)


@given(drawn=sketched_mappings(), work=st.integers(1, 10**9), faster=st.integers(2, 100), lanes=st.integers(1, 8))
def test_a_faster_unit_or_a_wider_spread_never_takes_longer(
    drawn: tuple[Mapping, Device], work: int, faster: int, lanes: int
) -> None:
    mapping, device = drawn
    said: dict[str, Any] = device.to_json()
    outermost = said["levels"][0]

    def time(rate: int, of: Mapping, count: int = lanes) -> Time:
        alu = unit("alu", "add", count=count, rate=f"{rate} MHz")
        chip = Device.from_json(said | {"levels": [outermost | {"units": [alu]}, *said["levels"][1:]]})
        found = work_of(homes([operator(0, ("add", work))], chip, {0}))
        return unit_times(found[0], of, units_of(chip))[next(iter(found[0]))]

    base = time(10, mapping)
    assert time(10 * faster, mapping) <= base
    assert time(10, mapping, lanes + 1) <= base
    for wider in spread(mapping, device.levels[0].count):
        assert wider.arrays == mapping.arrays
        assert wider.replicas == mapping.replicas
        assert wider.levels[0].factors.product <= device.levels[0].count
        assert time(10, wider) <= base


def test_energy_of_operations_is_added() -> None:
    network = mobilenet_v2()
    work = [operator(place, ("add", 1000), after=place) for place in range(len(network.operators))]
    costly = with_units("isaac", "pe", unit("alu", "add", rate="1 THz", energy="1 pJ"))
    free = with_units("isaac", "pe", unit("alu", "add", rate="1 THz"))
    found, other = (placed(replace(network, digital=tuple(work)), chip) for chip in (costly, free))
    spent = sum(each.amount for each in found.spent if each.component == "alu")
    assert spent == len(work) * 1000 * 10**6
    assert np.isclose(
        float(sum(each.amount for each in other.spent) + spent), float(sum(e.amount for e in found.spent))
    )


def test_the_unit_that_limits_is_what_helps_most() -> None:
    work = [operator(place, ("add", 10**6), after=place) for place in range(3)]
    network = replace(mobilenet_v2(), digital=tuple(work))
    found = placed(network, with_units("isaac", "pe", unit("alu", "add", rate="1 MHz")))
    assert found.chip_limit.what == "unit"
    assert found.chip_limit.where.startswith("alu of pe ")
    assert next_changes(found)[0].field == "levels.pe.units.alu.rate"


def test_the_layer_that_the_page_computes_by_hand() -> None:
    levels = (("pe", Factors(pixel=127)), ("cu", Factors(row=2, column=2, pixel=3)), ("array", Factors()))
    axes = (("k", 147, Kind.REDUCTION), ("n", 64, Kind.FILTER), ("m", 12544, Kind.PIXEL))
    workload = Workload("first", tuple(Axis(*axis) for axis in axes), 8, 8)
    mapping = Mapping(workload, 74, 32, tuple(LevelFactors(*level) for level in levels), Factors(pixel=33))
    layer = [operator(0, (kind, number)) for kind, number in (("shift", 802816), ("compare", 802816))]
    work = work_of(homes([*layer, operator(1, ("pool", 1806336))], ISAAC, {0}))
    times = {key.name: time for key, time in unit_times(work[0], mapping, units_of(ISAAC)).items()}
    values = {"shift_and_add": 2.634, "sigmoid": 1.317, "max_pool": 5.926}
    assert {name: time.femtoseconds / 10**9 for name, time in times.items()} == pytest.approx(values, abs=0.001)
    assert int(33 * 8 * ISAAC.array.read.femtoseconds) == 26_400_000_000
