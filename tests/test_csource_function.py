"""TIR functions as C, compiled and compared with TVM's own build on the same values."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import odd_values
from cyclecast._tvm._defined import with_defined_operators
from cyclecast.csource._function import FunctionWriter
from cyclecast.csource._lower import flat_functions
from cyclecast.errors import UnsupportedError
from cyclecast.simulator import compile_library, driver_source

import tvm  # isort: skip - after cyclecast, which checks that this TVM works
from tvm import te, tirx  # isort: skip

pytestmark = pytest.mark.tvm

SIZE = 64
RANDOM = np.random.default_rng(0)
HEADERS = ("cyclecast_device.h", "cyclecast_host.h")


def written(function: Any) -> str:
    flat = flat_functions(tvm.IRModule({"main": function.with_attr("global_symbol", "main")}))
    return FunctionWriter("made", flat["main"]).written("Made for a test.").text


def in_c(function: Any, arrays: list[Any], folder: Path, flags: Sequence[str] = ()) -> None:
    """Compile the C of a function and run it on the arrays, in place."""
    for name in HEADERS:
        (folder / name).write_text(driver_source(name), encoding="utf-8")
    (folder / "made.c").write_text(f'#include "cyclecast_host.h"\n{written(function)}', encoding="utf-8")
    compile_library([folder / "made.c"], folder / "made.so", folder, ("-Wno-missing-prototypes", *flags))
    workspace = np.zeros(1 << 20, dtype=np.uint8)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (*arrays, workspace)]
    ctypes.CDLL(str(folder / "made.so")).made(*pointers)


def both(function: Any, arrays: list[Any], folder: Path, flags: Sequence[str] = ()) -> tuple[Any, Any]:
    """What TVM's program and the C make of the last array."""
    tensors = [tvm.runtime.tensor(array) for array in arrays]
    module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    tvm.compile(with_defined_operators(module), target={"kind": "llvm"})["main"](*tensors)
    in_c(function, arrays, folder, flags)
    return tensors[-1].numpy(), arrays[-1]


def elementwise(operation: Callable[..., Any], *kinds: str) -> Any:
    inputs = [te.placeholder((SIZE,), kind, name=f"in{number}") for number, kind in enumerate(kinds)]
    result = te.compute((SIZE,), lambda i: operation(*(value[i] for value in inputs)), name="out")
    return te.create_prim_func([*inputs, result])


def drawn(kind: str) -> Any:
    if kind.startswith("float"):
        return (RANDOM.normal(size=SIZE) * 3).astype(kind)
    if kind == "bool":
        return RANDOM.integers(0, 2, SIZE).astype(kind)
    least, most = (0, 100) if kind.startswith("u") else (-100, 100)
    return RANDOM.integers(least, most, SIZE).astype(kind)


def run(function: Any, folder: Path) -> None:
    arrays = [drawn(str(param.dtype)).reshape([int(extent) for extent in param.shape]) for param in function.params]
    expected, made = both(function, arrays, folder)
    assert np.array_equal(expected, made, equal_nan=True)


REAL = [
    tirx.exp, tirx.tanh, tirx.sigmoid, tirx.erf, tirx.round, tirx.nearbyint, tirx.floor, tirx.ceil, tirx.trunc,
    tirx.abs, tirx.sin, tirx.cos, tirx.atan, tirx.isnan, tirx.isfinite, lambda x: tirx.sqrt(tirx.abs(x)),
    lambda x: tirx.log(tirx.abs(x)), lambda x: tirx.rsqrt(tirx.abs(x)), lambda x: tirx.pow(tirx.abs(x), x),
    lambda x: tirx.max(tirx.min(x, x * x), x - 1), lambda x: x.astype("int8") + tirx.const(3, "int8"),
    lambda x: x.astype("bool"), lambda x: tirx.Select(x > 0, x, -x), lambda x: tirx.if_then_else(x < 1, x / 3, x),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("operation", REAL, ids=[getattr(one, "__name__", str(n)) for n, one in enumerate(REAL)])
def test_real_functions_are_those_of_the_compiled_module(
    operation: Callable[..., Any], kind: str, tmp_path: Path
) -> None:
    run(elementwise(operation, kind), tmp_path)


KINDS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
SANITIZED = ("-fsanitize=undefined,float-cast-overflow", "-fno-sanitize-recover=all")


@pytest.mark.parametrize("kind", ["float32", pytest.param("float64", marks=pytest.mark.long)])
def test_odd_values_come_out_as_in_the_compiled_module(kind: str, tmp_path: Path) -> None:
    """NaN, infinities, denormals and the ends of types; undefined behaviour would end the process."""
    for number, operation in enumerate((*REAL, *(lambda x, to=to: x.astype(to) for to in KINDS))):
        folder = tmp_path / str(number)
        folder.mkdir()
        function = elementwise(operation, kind)
        with np.errstate(over="ignore"):
            given = np.resize(np.array(odd_values.REALS), SIZE).astype(kind)
        out = np.zeros(SIZE, str(function.params[1].dtype))
        expected, made = both(function, [given, out], folder, SANITIZED)
        assert odd_values.bits(expected) == odd_values.bits(made), number


@pytest.mark.parametrize("kind", KINDS[:-1])
@pytest.mark.parametrize("real", ["float32", "float64"])
def test_real_numbers_are_clamped_to_integers(kind: str, real: str, tmp_path: Path) -> None:
    limits = np.iinfo(kind)
    given = np.full(SIZE, np.nan, real)
    given[1:8] = [np.inf, -np.inf, 1.9, -1.9, 2.0**64, -(2.0**64), limits.min]
    expected, made = both(elementwise(lambda x: x.astype(kind), real), [given, np.zeros(SIZE, kind)], tmp_path)
    cut = max(-1, limits.min)
    wanted = [0, limits.max, limits.min, 1, cut, limits.max, limits.min, limits.min]
    assert expected[:8].tolist() == made[:8].tolist() == wanted


INTEGER = [
    lambda x, y: x + y * 2 - 3, lambda x, y: (x + y) * (x - y), lambda x, y: tirx.floordiv(x, 7) + tirx.floormod(y, 5),
    lambda x, y: tirx.truncdiv(x, 7) - tirx.truncmod(y, 5), lambda x, y: (x >> 1) + (y << 2),
    lambda x, y: (x & y) | (x ^ 3), lambda x, y: ~x & (y + 1), lambda x, y: tirx.max(x, y) - tirx.min(x, y),
    lambda x, y: tirx.Select(tirx.all(x > 0, tirx.any(y > 0, x < y)), x, y), lambda x, y: tirx.abs(x) - tirx.abs(y),
    lambda x, y: tirx.Select(tirx.Not(x < y), x, y), lambda x, y: (x > y).astype("int32").astype(str(x.dtype)),
    lambda x, y: x.astype("float32").astype(str(y.dtype)), lambda x, y: -(x - (y - (x - y))),
    lambda x, y: tirx.floordiv(x, tirx.max(y, 1)) + tirx.floormod(x, tirx.max(y, 1)),
]  # fmt: skip
LARGER_LESS_SMALLER = 7
"""Where it is beyond the type: TVM's compiler, which takes sums for exact, makes another number of it."""


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64"])
@pytest.mark.parametrize("operation", INTEGER, ids=range(len(INTEGER)))
def test_integers_are_those_of_the_compiled_module(operation: Callable[..., Any], kind: str, tmp_path: Path) -> None:
    run(elementwise(operation, kind, kind), tmp_path)


def ends(kind: str) -> Any:
    """Pairs of the ends of a type, and what is near them and near zero."""
    limits = np.iinfo(kind)
    some = [limits.min, limits.min + 1, -7, -1, 0, 1, 3, limits.max]
    return np.array([value for value in some if value >= limits.min], dtype=kind)


def pairs_of(kind: str) -> tuple[Any, Any]:
    some = ends(kind)
    return np.resize(np.repeat(some, len(some)), SIZE), np.resize(np.tile(some, len(some)), SIZE)


@pytest.mark.parametrize("kind", ["int8", "int32", "int64"])
def test_ends_of_integers_come_out_as_in_the_compiled_module(kind: str, tmp_path: Path) -> None:
    for number, operation in enumerate(INTEGER):
        if number == LARGER_LESS_SMALLER:
            continue
        (tmp_path / str(number)).mkdir()
        function = elementwise(operation, kind, kind)
        arrays = [*pairs_of(kind), np.zeros(SIZE, str(function.params[-1].dtype))]
        expected, made = both(function, arrays, tmp_path / str(number), SANITIZED)
        assert expected.tolist() == made.tolist(), number


DIVIDED: list[tuple[Callable[..., Any], Callable[[int, int], int]]] = [
    (tirx.truncdiv, lambda x, y: abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)),
    (tirx.truncmod, lambda x, y: abs(x) % abs(y) * (-1 if x < 0 else 1)),
    (tirx.floordiv, lambda x, y: x // y),
    (tirx.floormod, lambda x, y: x % y),
]


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_division_has_a_value_whatever_divides(kind: str, tmp_path: Path) -> None:
    """0 where nothing divides, and the lowest bits of what is beyond the type."""
    for number, (operation, wanted) in enumerate(DIVIDED):
        (tmp_path / str(number)).mkdir()
        left, right = pairs_of(kind)
        pairs = zip(left.tolist(), right.tolist(), strict=True)
        values = np.array([wanted(x, y) if y else 0 for x, y in pairs], object)
        bits = np.iinfo(kind).bits
        low = [int(value) % 2**bits for value in values]
        arrays = [left, right, np.zeros(SIZE, kind)]
        expected, made = both(elementwise(operation, kind, kind), arrays, tmp_path / str(number), SANITIZED)
        assert expected.tolist() == made.tolist() == [x if x <= np.iinfo(kind).max else x - 2**bits for x in low]


@pytest.mark.parametrize("kind", ["int32", "uint8", "uint32", "uint64"])
def test_a_shift_has_a_value_however_far(kind: str, tmp_path: Path) -> None:
    bits = np.iinfo(kind).bits
    far = np.resize(np.array([0, 1, bits - 1, bits, bits + 1, min(np.iinfo(kind).max, 2**63)], kind), SIZE)
    for name, operation in (("left", lambda x, y: x << y), ("right", lambda x, y: x >> y)):
        (tmp_path / name).mkdir()
        values = np.full(SIZE, 101, kind)
        function = elementwise(operation, kind, kind)
        expected, made = both(function, [values, far, np.zeros(SIZE, kind)], tmp_path / name, SANITIZED)
        shifted = [(101 << y if name == "left" else 101 >> y) % 2**bits if y < bits else 0 for y in far.tolist()]
        assert expected.tolist() == made.tolist() == [x if x <= np.iinfo(kind).max else x - 2**bits for x in shifted]


@pytest.mark.parametrize("kind", ["int8", "int32", "int64", "uint8"])
def test_a_computed_index_stays_in_its_tensor(kind: str, tmp_path: Path) -> None:
    """One of 300 values, which a type of 8 bits cannot name, and none where a short type would cut an index."""
    data, places = te.placeholder((2, 300), "float32", name="data"), te.placeholder((SIZE,), kind, name="places")
    taken = te.compute((2, SIZE), lambda row, i: data[row, places[i]], name="taken")
    values = np.arange(600, dtype="float32").reshape(2, 300)
    wanted = np.resize(np.concatenate([ends(kind), np.array([2, 99, 127], kind)]), SIZE)
    if kind == "int64":
        wanted[:4] = (2**32 + 3, -(2**32) + 3, 300, 299)
    arrays = [values, wanted, np.zeros((2, SIZE), "float32")]
    expected, made = both(te.create_prim_func([data, places, taken]), arrays, tmp_path, SANITIZED)
    inside = [min(max(place, 0), 299) for place in wanted.tolist()]
    assert expected.tolist() == made.tolist() == values[:, inside].tolist()


@pytest.mark.parametrize(("operation", "name"), [(tirx.max, "max_u64"), (tirx.min, "min_u64")])
def test_wide_unsigned_values_keep_their_bits(operation: Callable[..., Any], name: str, tmp_path: Path) -> None:
    function = elementwise(operation, "uint64", "uint64")
    run(function, tmp_path)
    assert f"{name}(" in written(function)


def test_intermediates_and_reductions(tmp_path: Path) -> None:
    data = te.placeholder((8, 8), "float32", name="data")
    axis = te.reduce_axis((0, 8), name="k")
    summed = te.compute((8,), lambda i: te.sum(tirx.exp(data[i, axis]), axis), name="sum")
    wide = te.compute((8, 300), lambda i, j: summed[i] * j.astype("float32"), name="wide")
    result = te.compute((8, 300), lambda i, j: wide[7 - i, j] + summed[i], name="result")
    function = te.create_prim_func([data, result])
    arrays = [RANDOM.normal(size=(8, 8)).astype("float32"), np.zeros((8, 300), "float32")]
    expected, made = both(function, arrays, tmp_path)
    assert np.array_equal(expected, made)
    text = written(function)
    assert "float sum[8] = {0};" in text
    assert "float *const wide = (float *)workspace;" in text


def test_inputs_are_constant_and_what_is_not_used_is_said_so() -> None:
    text = written(elementwise(lambda x, y: y * 2, "int32", "int32"))
    assert "void made(const int32_t *restrict in0, const int32_t *restrict in1, int32_t *restrict out)" in text
    assert "    (void)in0;" in text


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_types_that_c_has_not_are_refused(kind: str) -> None:
    with pytest.raises(UnsupportedError, match=f"values of type {kind}"):
        written(elementwise(lambda x: x, kind))


def test_functions_that_c_has_not_are_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"tirx\.popcount in a host function; try|C99 has no such function"):
        written(elementwise(tirx.popcount, "int32"))


def calling(name: str) -> Any:
    return elementwise(lambda x: tirx.call_pure_extern("float32", name, x), "float32")


@pytest.mark.parametrize("name", ["floorf", "tanhf", "erff"])
def test_functions_of_the_mathematical_header_are_called(name: str) -> None:
    assert f"{name}(" in written(calling(name))


@pytest.mark.parametrize(
    "name",
    [
        "system",
        "abort",
        "",
        'sinf(0); system("touch canary"); sinf',
        "sinf)",
        "sin f",
        "sinf\n#include <stdlib.h>\n",
        "é",
    ],
    ids=ascii,
)
def test_no_other_name_of_a_program_becomes_c(name: str) -> None:
    with pytest.raises(UnsupportedError, match="a call of '"):
        written(calling(name))
