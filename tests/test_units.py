from __future__ import annotations

import json
import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cyclecast.errors import OptionError
from cyclecast.units import Area, Bandwidth, Energy, Frequency, Power, Size, Time
from strategies import areas, bandwidths, energies, frequencies, powers, sizes, times

QUANTITIES = times | frequencies | bandwidths | sizes | powers | energies | areas


class Model(BaseModel):
    read: Time
    rate: Frequency
    bus: Bandwidth
    buffer: Size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100 ns", Time(10**8)),
        ("100ns", Time(10**8)),
        ("1.28 us", Time(1_280_000_000)),
        ("0.1 ps", Time(100)),
        ("0 s", Time(0)),
        ("1.28 GHz", Frequency(1_280_000_000_000)),
        ("1.28 GS/s", Frequency(1_280_000_000_000)),
        ("10.24 GB/s", Bandwidth(10_240_000_000)),
        ("1 GiB/s", Bandwidth(2**30)),
        ("64 KiB", Size(65536)),
        ("64 kB", Size(64000)),
        ("0.5 KiB", Size(512)),
        ("16 mW", Power(16 * 10**9)),
        ("0.52 mW", Power(520_000_000)),
        ("1.5625 pJ", Energy(1_562_500)),
        ("0.00006 mm2", Area(60_000_000)),
    ],
)
def test_parse_is_exact(text: str, expected: Any) -> None:
    assert expected == type(expected).parse(text)


def test_parse_does_not_go_through_a_float() -> None:
    assert Time(100_000_000_000_000_001) == Time.parse("100.000000000000001 s")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Time(0), "0 fs"),
        (Time(1), "1 fs"),
        (Time(999), "999 fs"),
        (Time(833_333), "833.333 ps"),
        (Time(1_280_000_000), "1.28 us"),
        (Time(125_900_000_000_000), "125.9 ms"),
        (Time(3600 * 10**15), "3600 s"),
        (Frequency(1_280_000_000_000), "1.28 GHz"),
        (Bandwidth(10_240_000_000), "10.24 GB/s"),
        (Size(0), "0 B"),
        (Size(1500), "1500 B"),
        (Size(65536), "64 KiB"),
        (Power(10_400_000_000_000), "10.4 W"),
        (Power(1), "1 pW"),
        (Energy(1_562_500), "1.5625 pJ"),
        (Area(372_290_000_000), "372290 um2"),
        (Area(85_400_000_000_000), "85.4 mm2"),
    ],
)
def test_str_is_readable(value: object, expected: str) -> None:
    assert expected == str(value)


@given(QUANTITIES)
def test_parse_inverts_str(value: Any) -> None:
    assert value == type(value).parse(str(value))


@given(times, times)
def test_times_are_ordered_as_their_amounts(a: Time, b: Time) -> None:
    assert (a < b) == (a.femtoseconds < b.femtoseconds)
    assert (a == b) == (hash(a) == hash(b))


@given(times, times, times)
def test_sums_do_not_depend_on_their_order(a: Time, b: Time, c: Time) -> None:
    assert (a + b) + c == c + (b + a)


@given(times, st.integers(min_value=0, max_value=1000), st.integers(min_value=0, max_value=1000))
def test_products_distribute(time: Time, m: int, n: int) -> None:
    assert (m + n) * time == time * m + n * time


@given(times, st.integers(min_value=1, max_value=10**9))
def test_floor_division_counts_whole_times(time: Time, part: int) -> None:
    count = time // Time(part)
    assert count * Time(part) <= time < (count + 1) * Time(part)


def test_ratios() -> None:
    assert Fraction(1, 3) == Time(1).ratio(Time(3))
    assert Time.parse("1.28 us") / Time.parse("100 ns") == pytest.approx(12.8)
    assert Time.parse("250 ms").seconds == pytest.approx(0.25)


def test_different_quantities_do_not_mix() -> None:
    with pytest.raises(TypeError):
        Time(1) + Size(1)  # type: ignore[operator]
    with pytest.raises(TypeError):
        assert Time(1) < Size(1)  # type: ignore[operator]


def test_a_time_times_a_float_is_refused() -> None:
    with pytest.raises(TypeError):
        Time(1) * 0.5  # type: ignore[operator]


def test_isaac_converts_128_columns_in_one_read() -> None:
    assert Time.parse("100 ns") == 128 * Frequency.parse("1.28 GS/s").period


@pytest.mark.parametrize(("rate", "expected"), [("1 Hz", "1 s"), ("3 Hz", "333.333333333334 ms"), ("3 THz", "334 fs")])
def test_period_is_rounded_up(rate: str, expected: str) -> None:
    assert expected == str(Frequency.parse(rate).period)


@given(frequencies, st.integers(min_value=0, max_value=10**6))
def test_events_round_up_once(rate: Frequency, events: int) -> None:
    exact = Fraction(events * 10**18, rate.millihertz)
    assert exact <= rate.time(events).femtoseconds < exact + 1
    assert rate.time(events) <= events * rate.period


def test_isaac_moves_a_kibibyte_in_one_read() -> None:
    assert Time.parse("100 ns") == Bandwidth.parse("10.24 GB/s").time(1024)


@given(bandwidths, st.integers(min_value=0, max_value=10**12))
def test_transfers_round_up(bandwidth: Bandwidth, count: int) -> None:
    exact = Fraction(count * 10**15, bandwidth.bytes_per_second)
    assert exact <= bandwidth.time(count).femtoseconds < exact + 1


@given(st.sampled_from([powers, energies, areas]).flatmap(lambda kind: st.tuples(kind, kind, kind)))
def test_additive_quantities_add(values: tuple[Any, Any, Any]) -> None:
    a, b, c = values
    assert (a + b) + c == c + (b + a)
    assert 2 * a == a * 2 == a + a
    assert a + 0 * b == a


@given(powers | energies | areas, st.integers(min_value=0, max_value=10**6), st.integers(min_value=1, max_value=10**6))
def test_shares_round_up(value: Any, part: int, parts: int) -> None:
    share = value.scaled(Fraction(part, parts))
    assert part * value <= parts * share
    assert parts * share < part * value + parts * type(value)(1)


@given(powers, times)
def test_power_for_a_time_is_energy_rounded_up(power: Power, time: Time) -> None:
    exact = Fraction(power.picowatts * time.femtoseconds, 10**9)
    assert exact <= power.energy(time).attojoules < exact + 1


def test_isaac_spends_a_few_picojoules_on_a_conversion() -> None:
    assert Energy.parse("1.5625 pJ") == Power.parse("2 mW").energy(Time.parse("781.25 ps"))


def test_additive_quantities_for_display() -> None:
    assert Power.parse("16 mW").watts == pytest.approx(0.016)
    assert Energy.parse("1.5625 pJ").joules == pytest.approx(1.5625e-12)
    assert Area.parse("0.151 mm2").square_millimetres == pytest.approx(0.151)
    assert Power.parse("1 mW") / Power.parse("4 mW") == pytest.approx(0.25)
    assert Fraction(1, 3) == Energy(1).ratio(Energy(3))


def test_power_and_energy_do_not_mix() -> None:
    with pytest.raises(TypeError):
        Power(1) + Energy(1)  # type: ignore[operator]
    with pytest.raises(TypeError):
        Power(1) / Area(1)  # type: ignore[operator]
    with pytest.raises(TypeError):
        Power(1) * 0.5  # type: ignore[operator]


@pytest.mark.parametrize(
    "text",
    [
        *("", "100", "ns", "-1 ns", "+1 ns", "1e3 ns", "1_000 ns", "1. ns", ".5 ns", "1  ns", " 1 ns", "1 ns\n"),
        *("1 NS", "nan ns", "inf ns", "\u0661 ns", "1 n", "0.5 fs", "1 GHz"),
        *("9" * 10**6 + " ns", "0." + "0" * 10**6 + " ns"),
    ],
    ids=lambda text: repr(text[:10]),
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(OptionError, match=r"^time: .{,150} cannot be read, it must be .*; try '100 ns'$"):
        Time.parse(text)


@pytest.mark.parametrize(("kind", "text"), [(Frequency, "0 Hz"), (Bandwidth, "0 B/s"), (Bandwidth, "0.5 B/s")])
def test_rates_are_positive_and_whole(kind: type[Frequency | Bandwidth], text: str) -> None:
    with pytest.raises(OptionError, match="cannot be read"):
        kind.parse(text)


@pytest.mark.parametrize("amount", [-1, 1.5, "1", None])
def test_amounts_are_whole_and_not_negative(amount: Any) -> None:
    with pytest.raises(OptionError, match="whole number of fs, at least 0"):
        Time(amount)


def test_pydantic_reads_and_writes_texts() -> None:
    texts = {"read": "100 ns", "rate": "1.28 GHz", "bus": "10.24 GB/s", "buffer": "64 KiB"}
    model = Model.model_validate(texts)
    assert Time.parse("100 ns") == model.read
    assert texts == json.loads(model.model_dump_json())
    assert model == Model.model_validate(model.model_dump())


@pytest.mark.parametrize("value", [100, 1.5, None, True, ["100 ns"]])
def test_pydantic_refuses_a_number_without_a_unit(value: object) -> None:
    with pytest.raises(ValidationError, match="without a unit"):
        Model.model_validate({"read": value})


@given(QUANTITIES)
def test_schema_pattern_accepts_what_is_written(value: Any) -> None:
    schema = value.__get_pydantic_json_schema__(None, None)
    assert re.search(schema["pattern"], str(value))
    assert [str(type(value).parse(example)) for example in schema["examples"]]
