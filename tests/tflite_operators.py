"""Files of one TFLite operator each, and their outcome compared with LiteRT: right, refused, or wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cyclecast.errors import CyclecastError, ModelError
from cyclecast.executable import build_program
from cyclecast.frontend import input_shapes, load, reference
from tflite_cases import CASES, Case, split
from tflite_files import File

RIGHT, REFUSED, WRONG, RAISED = "right", "refused", "wrong", "raised"
KINDS = ("", "int8", "uint8", "int16")
SCALE, ZEROS, MIDDLE = 0.05, {"int8": 3, "uint8": 120, "int16": 0}, {"int8": 0, "uint8": 128, "int16": 0}
"""Scale of quantised inputs; zero points of results."""
APART = {"": 0, "int8": 1, "uint8": 1, "int16": 3}
"""Allowed difference of a result's integers: LiteRT rounds in steps, or uses tables."""
MOVED = (
    "RESHAPE PAD PADV2 MIRROR_PAD TRANSPOSE STRIDED_SLICE SLICE GATHER GATHER_ND MAX_POOL_2D AVERAGE_POOL_2D PACK "
    "UNPACK "
    "CONCATENATION SPLIT SPLIT_V RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR SQUEEZE EXPAND_DIMS TILE REVERSE_V2 TOPK_V2 "
    "REVERSE_SEQUENCE DEPTH_TO_SPACE SPACE_TO_DEPTH SPACE_TO_BATCH_ND BATCH_TO_SPACE_ND SELECT SELECT_V2 REDUCE_MAX "
    "REDUCE_MIN MAXIMUM MINIMUM ZEROS_LIKE FILL SCATTER_ND EMBEDDING_LOOKUP BROADCAST_TO ONE_HOT"
)
"""Operators whose results have the scale of the input."""
FIXED = {
    "LOGISTIC": (1 / 256, -128),
    "SOFTMAX": (1 / 256, -128),
    "TANH": (1 / 128, 0),
    "L2_NORMALIZATION": (1 / 128, 0),
}
FIXED["LOG_SOFTMAX"] = (16 / 256, 127)
WEIGHTED = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0}
"""Operators whose second operand is weights, and the filter axis of these."""

VERSIONS = {"BROADCAST_TO": 2}


@dataclass(frozen=True)
class Outcome:
    """The outcome of a case."""

    case: str
    operator: str
    kind: str
    said: str = ""


def outcomes(part: int, parts: int) -> Iterator[Outcome]:
    """The outcome of each nth case that LiteRT runs, quantised and not."""
    cases = [
        replace(case, quantised=kind)
        for case in CASES
        for kind in (KINDS if case.has_reals else ("",))
        if case.operator
    ]
    with TemporaryDirectory() as folder:
        for case in cases[part::parts]:
            found = _outcome(case, Path(folder) / "case.tflite")
            if found is not None:
                yield found


def write(case: Case, path: Path, scales: list[Any], shapes: list[Any]) -> Path:
    """Write the file, with the scales of quantised results and all shapes."""
    file, given, places, results = File(), [], [], []
    for number, part in enumerate(case.inputs):
        if isinstance(part, np.ndarray):
            places.append(_constant(file, case, number, part))
            continue
        shape, kind = split(part)
        stands = case.quantised and kind == "float32"
        how = (case.quantised, [SCALE], [ZEROS[case.quantised]]) if stands else (_stored(kind),)
        places.append(file.tensor(shape, *how))
        given.append(places[-1])
    for number, kind in enumerate(case.out):
        shape = shapes[number] if shapes else ()
        if case.quantised and kind == "float32":
            scale, zero = _scale(case, scales[number] if scales else 1)
            results.append(file.tensor(shape, case.quantised, [scale], [zero]))
        else:
            results.append(file.tensor(shape, _stored(kind)))
    file.operator(case.operator, places, results[0], case.options, **case.fields)
    file.graph.operators[0].outputs = results
    file.model.operatorCodes[0].version = VERSIONS.get(case.operator, 1)
    return file.save(path, given, results)


def _stored(kind: str) -> str:
    return "float32" if kind == "real" else kind


def _scale(case: Case, scale: float) -> tuple[float, int]:
    """Scale of a result: the one that LiteRT requires, or one that covers the values."""
    if case.operator in MOVED.split():
        return SCALE, ZEROS[case.quantised]
    if case.operator not in FIXED:
        return scale, MIDDLE[case.quantised]
    fixed, zero = FIXED[case.operator]
    return (1 / 32768, 0) if case.quantised == "int16" else (fixed, zero + MIDDLE[case.quantised])


def _constant(file: File, case: Case, number: int, values: Any) -> int:
    kind, axis = case.quantised, WEIGHTED.get(case.operator)
    if not kind or values.dtype != np.float32:
        return file.constant(values)
    if axis is None:
        scale, zero = (SCALE, ZEROS[kind]) if case.operator in MOVED.split() else (0.02, MIDDLE[kind])
        return _with_zero(file, values, np.float32(scale), zero, kind)
    weights = case.inputs[1]
    others = tuple(place for place in range(weights.ndim) if place != axis and kind != "uint8")
    scales = (np.abs(weights).max(others or None) / 120).astype("float32").ravel()
    if values.ndim == 1:
        scales = (scales * np.float32(SCALE)).astype("float32")
        return file.constant(np.round(values / scales).astype("int64" if kind == "int16" else "int32"), scales, 0)
    if kind == "uint8":
        return _with_zero(file, values, scales[0], 125, kind)
    shape = [-1 if place == axis else 1 for place in range(values.ndim)]
    return file.constant(np.round(values / scales.reshape(shape)).astype("int8"), scales, axis)


def _with_zero(file: File, values: Any, scale: Any, zero: int, kind: str) -> int:
    info = np.iinfo(kind)
    place = file.constant(np.clip(np.round(values / scale) + zero, info.min, info.max).astype(kind), [scale])
    file.graph.tensors[place].quantization.zeroPoint = [zero]
    return place


def values(case: Case, path: Path, seed: int) -> dict[str, Any]:
    """Seeded values of each input, within the operator's domain."""
    random, found = np.random.default_rng(seed), {}
    places = any(word in case.operator for word in ("GATHER", "ONE_HOT", "LOOKUP"))
    positive = case.operator in ("LOG", "SQRT", "RSQRT", "POW")
    for name, (shape, kind) in input_shapes(path, {}).items():
        value: Any
        if kind.kind == "b":
            value = random.integers(0, 2, shape)
        elif kind.kind == "f":
            value = random.normal(size=shape) if seed else np.round(random.normal(size=shape) * 4) / 2
            value = np.abs(value) + 0.1 if positive else value
        elif kind.itemsize > 2 or not case.quantised:
            value = (
                random.integers(0, 3, shape)
                if places or positive or kind.kind == "u"
                else random.integers(-9, 10, shape)
            )
        else:
            value = ZEROS[case.quantised] + random.integers(1 if positive else -100, 100, shape)
        if "DIV" in case.operator or "MOD" in case.operator:
            value = np.where(value == (ZEROS.get(case.quantised, 0)), value + 3, value)
        found[name] = np.asarray(value).astype(kind)
    return found


def _expected(case: Case, path: Path) -> list[list[Any]]:
    """Outputs of LiteRT for the file, which is written; shapes and scales of results follow from the float outputs."""
    plain = replace(case, quantised="")
    scales = []
    if case.quantised and "float32" in case.out:
        write(plain, path, [], [])
        results = [list(reference(path, values(plain, path, seed)).values()) for seed in (0, 1)]
        largest = [max(np.abs(result[number]).max() for result in results) for number in range(len(case.out))]
        scales = [max(1e-3, float(value) / (np.iinfo(case.quantised).max // 2 + 1)) for value in largest]
    write(case, path, scales, [])
    shapes = [value.shape for value in reference(path, values(case, path, 0)).values()]
    write(case, path, scales, shapes)
    return [list(reference(path, values(case, path, seed)).values()) for seed in (0, 1)]


def _outcome(case: Case, path: Path) -> Outcome | None:
    try:
        expected = _expected(case, path)
    except ModelError:  # LiteRT has no such kernel
        return None
    try:
        program = build_program(load(path, activation_bits=16, weight_bits=16).program)
        found = [program(*values(case, path, seed).values()) for seed in (0, 1)]
    except CyclecastError as error:
        return Outcome(str(case), case.operator, REFUSED, str(error))
    except Exception as error:  # which is what must not be
        return Outcome(str(case), case.operator, RAISED, repr(error)[:300])
    for results, others in zip(expected, found, strict=True):
        for right, ours in zip(results, others, strict=True):
            if not _is_right(right, ours, case):
                return Outcome(str(case), case.operator, WRONG, f"{right.ravel()[:6]} {ours.ravel()[:6]}")
    return Outcome(str(case), case.operator, RIGHT)


def _is_right(right: Any, ours: Any, case: Case) -> bool:
    if right.shape != ours.shape or right.dtype != ours.dtype:
        return False
    if right.dtype.kind == "f":
        largest = max(1.0, float(np.abs(right).max(initial=0)))
        return np.allclose(right, ours, atol=2e-3 * largest, rtol=1e-3, equal_nan=True)
    most = APART[case.quantised] + (1 if case.operator == "DIV" and case.quantised else 0)  # by an approximate inverse
    return bool((np.abs(right.astype("int64") - ours.astype("int64")) <= most).all())
