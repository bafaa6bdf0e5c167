"""Connects programs lowered with the `behaviour` implementation to a chip of the behaviour model."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm_ffi import register_global_func

from cyclecast.errors import BehaviourError
from cyclecast.simulator import Chip

_CHIPS: list[Chip] = []


@contextmanager
def running_on(chip: Chip) -> Iterator[Chip]:
    """A context in which the intrinsics of behaviour programs act on this chip."""
    _CHIPS.append(chip)
    try:
        yield chip
    finally:
        _CHIPS.pop()


def _chip() -> Chip:
    if not _CHIPS:
        raise BehaviourError("behaviour program", "an array", "no chip is connected", "running_on(Chip(device))")
    return _CHIPS[-1]


def _address(pointer: ctypes.c_void_p) -> int:
    """The address of a pointer argument of a packed function; 0 for a null pointer."""
    return int(pointer.value or 0)


def _at(pointer: ctypes.c_void_p, count: int, kind: str) -> NDArray[Any]:
    """The `count` values of type `kind` at a pointer, as an array on the same memory."""
    size = count * np.dtype(kind).itemsize
    return np.frombuffer(memoryview((ctypes.c_char * size).from_address(_address(pointer))), dtype=kind)


def _program(
    array: ctypes.c_void_p, weights: ctypes.c_void_p, stride: int, lines: int, filters: int, kind: str
) -> None:
    rows = _at(weights, (lines - 1) * stride + filters, kind)
    matrix = np.stack([rows[line * stride : line * stride + filters] for line in range(lines)])
    _chip().program(_address(array), matrix.astype(np.int64))


def _multiply(
    output: ctypes.c_void_p,
    inputs: ctypes.c_void_p,
    array: ctypes.c_void_p,
    lines: int,
    filters: int,
    input_type: str,
    output_type: str,
) -> None:
    product = _chip().multiply(_address(array), _at(inputs, lines, input_type).astype(np.int64))
    _at(output, filters, output_type)[:] += product.astype(output_type)


register_global_func("cyclecast.program", _program, override=True)
register_global_func("cyclecast.mvm", _multiply, override=True)
