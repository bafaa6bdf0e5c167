"""Single TFLite operators, with usual and unusual options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """One operator. Inputs are shapes, with the type if it is not float32; constants are arrays.

    "real" is float32 that is never quantised.
    """

    operator: str
    inputs: tuple[Any, ...]
    out: tuple[str, ...] = ("float32",)
    options: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    quantised: str = ""
    """The integer type that replaces float32, if any."""

    def __str__(self) -> str:
        shapes = [part.shape if isinstance(part, np.ndarray) else part for part in self.inputs]
        said = [f"{name}={value}" for name, value in self.fields.items()]
        return " ".join(map(str, [self.operator, *shapes, *said, self.quantised])).strip()

    @property
    def has_reals(self) -> bool:
        """Whether inputs or outputs are floats that may be quantised."""
        kinds = (part[1] if _is_typed(part) else "float32" for part in self.inputs if not isinstance(part, np.ndarray))
        return "float32" in (*kinds, *self.out)


def _is_typed(part: Any) -> bool:
    return len(part) == 2 and isinstance(part[1], str)


def split(part: Any) -> tuple[tuple[int, ...], str]:
    """Shape and type of an input."""
    return part if _is_typed(part) else (part, "float32")


def case(operator: str, *inputs: Any, out: str | tuple[str, ...] = "float32", options: str = "", **fields: Any) -> Case:
    """A case. Its options class is named like the operator if there are fields or none is given."""
    words = {"V2": "V2", "ND": "ND", "2D": "2D"}
    name = "".join(words.get(word, word.capitalize()) for word in operator.split("_")) + "Options"
    kinds = (out,) if isinstance(out, str) else out
    return Case(operator, inputs, kinds, options or (name if fields else ""), fields)


def reals(*shape: int) -> Any:
    """Seeded random floats."""
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def i(*values: Any) -> Any:
    """An int32 vector."""
    return np.array(values, "int32")


def one(value: Any, kind: str = "int32") -> Any:
    """A scalar, int32 by default."""
    return np.array(value, kind)


IMAGE, CUBE = (1, 5, 6, 4), (2, 3, 4)
BOTH = ("int32", "int64")
PAIRS = np.array([[1, 0], [2, 1]], "int32")
TABLE = np.array([[1, 3], [0, 2], [1, 1]], "int32")
STEP: dict[str, Any] = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "padding": 0}
CONVOLVED: list[dict[str, Any]] = [{}, {"padding": 1, "fusedActivationFunction": 1}]
CONVOLVED += [{"strideW": 2, "strideH": 2, "fusedActivationFunction": 3}, {"dilationWFactor": 2, "dilationHFactor": 2}]
CONVOLVED += [{"fusedActivationFunction": 4}]
CONV = STEP | {"options": "Conv2DOptions"}
DEPTHWISE = STEP | {"options": "DepthwiseConv2DOptions", "depthMultiplier": 1}
SPACE = STEP | {"options": "Conv3DOptions", "strideD": 1, "dilationDFactor": 1}
POOL: dict[str, Any] = {"options": "Pool2DOptions", "strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 3}
ELEMENTWISE = "ABS CEIL COS EXP FLOOR NEG ROUND SIN SIGN ELU RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 LOGISTIC TANH LOG SQRT"
BINARY = "MAXIMUM MINIMUM FLOOR_DIV FLOOR_MOD POW SQUARED_DIFFERENCE ATAN2"
COMPARED = "EQUAL NOT_EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL"
ARITHMETIC = ("ADD", "SUB", "MUL", "DIV")
REDUCED = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")
CASTS = [
    "float32 int32",
    "float32 int64",
    "int32 float32",
    "float32 bool",
    "bool float32",
    "int64 int32",
    "int32 uint8",
]
CASTS += ["float32 uint8", "float32 int8", "uint8 float32", "float32 int16", "int32 bool", "float32 float16"]

ALL = (1, 1, 1)
SLICES: list[tuple[Any, Any, Any, dict[str, Any]]] = [
    ((0, 1, 2), (4, 4, 6), (1, 1, 2), {"beginMask": 0}),
    ((1, 0, 0), (2, 5, 6), ALL, {"shrinkAxisMask": 1}),
    ((3, 1, 2), (0, 4, 6), (-1, 1, 1), {"beginMask": 0}),
    ((0, 1, 2), (0, 4, 6), ALL, {"beginMask": 1, "endMask": 1}),
    ((0, 0), (0, 2), (1, 1), {"ellipsisMask": 1}),
    ((0, 0, 1), (0, 0, 3), ALL, {"newAxisMask": 1, "endMask": 2}),
    ((-2, 0, 0), (9, 5, 6), ALL, {"beginMask": 0}),
    ((-1, 0, 0), (0, 5, 6), ALL, {"shrinkAxisMask": 1}),
    ((3, 0, 0), (0, 0, 0), (-1, 1, 1), {"endMask": 7}),
    (ALL, (2, 2, 2), ALL, {"offset": True}),
    ((0,), (2,), (1,), {"beginMask": 0}),
    ((0, 0, 0), ALL, ALL, {"shrinkAxisMask": 7}),
]
# fmt: off
CASES: list[Case] = [
    *(case(name, CUBE) for name in (ELEMENTWISE + " RSQRT HARD_SWISH SQUARE LOG_SOFTMAX").split()),
    *(case("GELU", (2, 9), approximate=how) for how in (False, True)),
    *(case("SOFTMAX", CUBE, beta=beta) for beta in (1.0, 0.5)),
    case("LEAKY_RELU", (2, 3), alpha=0.2),
    *(case("PRELU", CUBE, reals(*shape)) for shape in ((4,), (2, 1, 4))),
    *(case(name, CUBE, (3, 4), fusedActivationFunction=0) for name in ARITHMETIC),
    *(case(name, CUBE, CUBE, fusedActivationFunction=act) for name in ARITHMETIC for act in (2, 3)),
    *(case(name, CUBE, CUBE, fusedActivationFunction=1) for name in ARITHMETIC[:3]),  # LiteRT's quotients overflow
    *(case("ADD", (2, 3), (2, 3), fusedActivationFunction=act) for act in (4, 5)),
    *(case(name, ((2, 3), kind), ((2, 3), kind), out=kind, fusedActivationFunction=0)
      for name in ARITHMETIC for kind in BOTH),
    case("ADD", (2, 3), reals(3), fusedActivationFunction=0),
    case("ADD", reals(2, 3), (3,), fusedActivationFunction=0),
    *(case(name, CUBE, CUBE) for name in BINARY.split()),
    *(case(name, ((2, 3), kind), ((2, 3), kind), out=kind) for name in BINARY.split()[:-1] for kind in BOTH),
    *(case(name, CUBE, CUBE, out="bool") for name in COMPARED.split()),
    case("EQUAL", ((2, 3), "int32"), ((3,), "int32"), out="bool"),
    *(case(name, ((2, 3), "bool"), ((2, 3), "bool"), out="bool")
      for name in ("LOGICAL_AND", "LOGICAL_OR", "EQUAL", "NOT_EQUAL")),
    case("LOGICAL_NOT", ((2, 3), "bool"), out="bool"),
    *(case("BITWISE_XOR", ((2, 3), kind), ((2, 3), kind), out=kind) for kind in ("int32", "uint8", "int8", "int16")),
    *(case(name, ((2, 3), "int32"), out="int32") for name in ("ABS", "NEG", "SIGN")),
    *(case("CAST", ((2, 3), kinds.split()[0]), out=kinds.split()[1]) for kinds in CASTS),
    case("ADD_N", (2, 3), (2, 3), (2, 3)),
    *(case("ARG_MAX", CUBE, one(axis), out=kind, outputType=number)
      for axis in (0, 1, -1) for kind, number in (("int32", 2), ("int64", 4))),
    *(case("ARG_MIN", CUBE, one(axis), out="int32", outputType=2) for axis in (1, -1)),
    *(case(name, IMAGE, **POOL, padding=pad, fusedActivationFunction=act)
      for name in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D") for pad, act in ((0, 0), (1, 1), (0, 3))),
    *(case("CONV_2D", IMAGE, reals(8, 3, 3, 4), reals(8), **CONV | more) for more in CONVOLVED),
    case("CONV_2D", IMAGE, reals(8, 3, 3, 2), reals(8), **CONV),
    *(case("DEPTHWISE_CONV_2D", IMAGE, reals(1, 3, 3, 4), reals(4), **DEPTHWISE | more) for more in CONVOLVED[:4]),
    case("DEPTHWISE_CONV_2D", IMAGE, reals(1, 3, 3, 8), reals(8), **DEPTHWISE | {"depthMultiplier": 2}),
    case("DEPTHWISE_CONV_2D", (1, 5, 6, 1), reals(1, 3, 3, 4), reals(4), **DEPTHWISE | {"depthMultiplier": 4}),
    *(case("TRANSPOSE_CONV", i(1, high, wide, 3), reals(3, k, k, 4), IMAGE, *bias, padding=pad, strideH=s, strideW=t)
      for high, wide, k, pad, s, t, bias in (
        (10, 12, 3, 0, 2, 2, ()), (11, 13, 3, 1, 2, 2, (reals(3),)), (10, 12, 2, 1, 2, 2, ()), (9, 11, 3, 0, 2, 2, ()),
        (15, 12, 3, 0, 3, 2, (reals(3),)), (5, 6, 3, 0, 1, 1, ()), (10, 12, 1, 0, 2, 2, ()), (12, 14, 3, 1, 2, 2, ()))),
    case("TRANSPOSE_CONV", i(1, 10, 12, 3), reals(3, 3, 3, 4), IMAGE, reals(3), padding=0, strideH=2, strideW=2,
         fusedActivationFunction=1),
    case("TRANSPOSE_CONV", i(1, 10, 12, 3), (3, 3, 3, 4), IMAGE, padding=0, strideH=2, strideW=2),
    *(case("CONV_3D", (1, 4, 5, 6, 2), reals(3, 3, 3, 2, 4), reals(4), **SPACE | {"padding": pad, "strideW": s})
      for pad, s in ((0, 1), (1, 2))),
    *(case("FULLY_CONNECTED", shape, reals(5, 4), *bias, keepNumDims=keep, fusedActivationFunction=act)
      for shape, bias, keep, act in (
        ((2, 4), (reals(5),), 0, 0), (CUBE, (reals(5),), 1, 1), (CUBE, (), 0, 3), ((2, 8), (), 0, 0),
        ((4,), (), 0, 0))),
    case("FULLY_CONNECTED", (2, 4), (5, 4), keepNumDims=False),
    *(case("BATCH_MATMUL", left, right, options="BatchMatMulOptions", adjX=x, adjY=y) for left, right, x, y in (
        (CUBE, (2, 4, 5), 0, 0), ((2, 4, 3), (2, 4, 5), 1, 0), (CUBE, (2, 5, 4), 0, 1), ((2, 4, 3), (5, 4), 1, 1),
        ((3, 4), (2, 4, 5), 0, 0), (CUBE, reals(2, 4, 5), 0, 0), (CUBE, reals(2, 5, 4), 0, 1))),
    *(case(name, CUBE, axes, options="ReducerOptions", keepDims=keep) for name in REDUCED
      for axes, keep in ((i(1), True), (i(0, -1), False), (one(1), False), (i(0, 1, 2), False))),
    *(case(name, (CUBE, "int32"), i(1), options="ReducerOptions", out="int32") for name in ("SUM", "MEAN")),
    *(case(name, ((2, 3), "bool"), i(1), options="ReducerOptions", out="bool")
      for name in ("REDUCE_ANY", "REDUCE_ALL")),
    *(case("CONCATENATION", (2, 3), (2, 3), axis=axis) for axis in (0, 1, -1)),
    case("CONCATENATION", (2, 3), reals(2, 2), axis=1, fusedActivationFunction=1),
    *(case("CUMSUM", CUBE, one(axis), exclusive=how in (1, 3), reverse=how > 1)
      for how in range(4) for axis in (1, -1)),
    case("DEPTH_TO_SPACE", (1, 2, 3, 8), blockSize=2),
    case("SPACE_TO_DEPTH", (1, 4, 6, 3), blockSize=2),
    case("SPACE_TO_BATCH_ND", (1, 4, 6, 3), i(2, 2), np.array([[0, 0], [2, 0]], "int32")),
    case("BATCH_TO_SPACE_ND", (4, 2, 3, 3), i(2, 2), np.array([[0, 1], [1, 0]], "int32")),
    case("SPACE_TO_BATCH_ND", (1, 4, 3), i(2), np.array([[1, 1]], "int32")),
    case("EMBEDDING_LOOKUP", ((3,), "int32"), reals(5, 4)),
    *(case("EXPAND_DIMS", (2, 3), one(axis)) for axis in (1, -1)),
    *(case("SQUEEZE", (2, 1, 3, 1), squeezeDims=axes) for axes in ([1], [-1], [])),
    case("RESHAPE", (2, 6), i(3, 4)),
    case("FILL", i(2, 3), ()),
    *(case("GATHER", (3, 4, 5), places, axis=axis, batchDims=batch)
      for places, axis, batch in ((i(2, 0), 0, 0), (TABLE, 1, 0), (one(1), -1, 0), (TABLE, 1, 1))),
    case("GATHER", (3, 3, 3), np.array([[0, 1, 2]] * 3, "int32"), axis=1, batchDims=1),
    case("GATHER", (3, 4), ((2,), "int32"), axis=0),
    case("GATHER_ND", (3, 4, 5), TABLE[:2], options="GatherNdOptions"),
    case("GATHER_ND", (3, 4), ((2, 1), "int32"), options="GatherNdOptions"),
    *(case("STRIDED_SLICE", (4, 5, 6), i(*begin), i(*end), i(*step), **masks) for begin, end, step, masks in SLICES),
    case("SLICE", (4, 5, 6), i(0, 1, 2), i(2, -1, 3)),
    *(case("TRANSPOSE", CUBE, i(*order)) for order in ((2, 0, 1), (-1, 0, 1))),
    *(case("REVERSE_V2", CUBE, i(*axes)) for axes in ((1,), (-1,), (1, 2))),
    case("REVERSE_SEQUENCE", (3, 4, 2), i(2, 4, 1), seqDim=1, batchDim=0),
    case("TILE", (2, 3), i(2, 1)),
    *(case("PACK", (2, 3), (2, 3), valuesCount=2, axis=axis) for axis in (0, 1, 2, -1)),
    *(case("UNPACK", (2, 3), out=("float32",) * number, num=number, axis=axis)
      for axis, number in ((0, 2), (1, 3), (-1, 3))),
    case("UNPACK", (1, 3), num=1, axis=0),
    *(case("SPLIT", one(axis), (2, 6), out=("float32",) * 2, numSplits=2) for axis in (0, 1, -1)),
    case("SPLIT", one(1), (2, 6), numSplits=1),
    *(case("SPLIT_V", (2, 6), i(*sizes), one(-1), out=("float32",) * len(sizes), options="SplitVOptions", numSplits=n)
      for sizes, n in (((1, 3, 2), 3), ((1, -1), 2))),
    case("PAD", (2, 3), PAIRS),
    *(case("PADV2", (2, 3), PAIRS, value) for value in (one(2.5, "float32"), np.array([2.5], "float32"))),
    *(case("MIRROR_PAD", (4, 3), PAIRS, mode=mode) for mode in (0, 1)),
    *(case(name, (1, 3, 4, 2), i(*sizes), alignCorners=align, halfPixelCenters=half)
      for name in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR") for sizes in ((7, 9), (2, 2), (6, 8))
      for align, half in ((False, False), (True, False), (False, True))),
    case("RESIZE_NEAREST_NEIGHBOR", (1, 3, 4, 2), i(7, 9), alignCorners=True, halfPixelCenters=True),
    case("L2_NORMALIZATION", (2, 3), options="L2NormOptions"),
    case("LOCAL_RESPONSE_NORMALIZATION", (1, 2, 3, 8), radius=2, bias=1.0, alpha=0.5, beta=0.75),
    case("TOPK_V2", (2, 5), one(3), out=("float32", "int32")),
    *(case("ONE_HOT", ((3,), "int32"), one(4), one(2, "float32"), one(-1, "float32"), axis=axis) for axis in (-1, 0)),
    *(case("SELECT", (shape, "bool"), (3, 3), (3, 3)) for shape in ((3, 3), (3,))),
    *(case("SELECT_V2", (shape, "bool"), (3,), (2, 3)) for shape in ((3,), (2, 1))),
    case("BROADCAST_TO", (2, 1), i(2, 3)),
    *(case("QUANTIZE", shape) for shape in ((2, 3), ((2, 3), "real"))),
    case("DEQUANTIZE", (2, 3), out="real"),
    case("WHERE", ((2, 3), "bool"), out="int64"),
    case("SHAPE", (2, 3), out="int32", outType=2),
    case("RANK", (2, 3), out="int32", options="RankOptions"),
    case("ZEROS_LIKE", (2, 3)),
    *(case("SCATTER_ND", np.array([[1], [at]], "int32"), (2, 4), i(5, 4)) for at in (3, 1)),
    case("SEGMENT_SUM", (4, 3), i(0, 0, 1, 2)),
    *(case(f"UNSORTED_SEGMENT_{how}", (4, 3), i(0, 2, 0, 2), one(3)) for how in ("SUM", "MAX", "MIN", "PROD")),
    case("MATRIX_DIAG", (2, 3)),
    case("UNIQUE", ((5,), "int32"), out=("int32", "int32"), idxOutType=2),
    case("FAKE_QUANT", (2, 3), min=-1.0, max=1.0, numBits=8),
    case("BUCKETIZE", (2, 3), out="int32", boundaries=[-1.0, 0.0, 0.5]),
    case("RFFT2D", (2, 8), i(2, 8), out="complex64"),
    case("NON_MAX_SUPPRESSION_V4", (6, 4), (6,), one(3), one(0.5, "f4"), one(0, "f4"), out=("int32", "int32")),
]
# fmt: on
