"""Exact integer arithmetic on numbers and arrays: the same formula for one mapping and for many.

`Whole` is an `int`, or a NumPy array of `int64` or (if these overflow) of Python integers. A formula of `+ - * //` and
these functions accepts and returns either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, reduce
from math import gcd
from operator import add
from typing import Any

import numpy as np

Whole = Any
"""An `int`, or an array of integers."""
Numbers = Any
"""A NumPy array of integers (int64, or Python integers if these overflow) or of booleans."""


def ceil_div(dividend: Whole, divisor: Whole) -> Whole:
    """ceil(dividend / divisor), divisor >= 1."""
    if isinstance(divisor, int) and divisor == 1:
        return dividend
    quotient = dividend + (divisor - 1)
    quotient //= divisor
    return quotient


def smaller(one: Whole, other: Whole) -> Whole:
    """Elementwise minimum."""
    if isinstance(one, int) and isinstance(other, int):
        return min(one, other)
    return np.minimum(one, other)


def larger(one: Whole, other: Whole) -> Whole:
    """Elementwise maximum."""
    if isinstance(one, int) and isinstance(other, int):
        return max(one, other)
    return np.maximum(one, other)


def ceil_log2(number: Whole) -> Whole:
    """ceil(log2(number)), number >= 1; exact for number <= 2**53."""
    if isinstance(number, int):
        return (number - 1).bit_length()
    exponent = np.frexp((number - 1).astype(np.float64))[1]
    return exponent.astype(number.dtype)


def is_zero(number: Whole) -> bool:
    """Whether this is the plain number 0, which can be skipped in sums."""
    return isinstance(number, int) and number == 0


def product(one: Whole, other: Whole) -> Whole:
    """Elementwise product."""
    if isinstance(one, int) and one == 1:
        return other
    return one * other if not is_zero(other) else 0


def total(*numbers: Whole) -> Whole:
    """Elementwise sum."""
    return _reduced(np.add, add, numbers)


def largest(*numbers: Whole) -> Whole:
    """Elementwise maximum of non-negative numbers."""
    return _reduced(np.maximum, max, numbers)


def _reduced(together: np.ufunc, alone: Callable[[int, int], int], numbers: Iterable[Whole]) -> Whole:
    """Reduction of all numbers that are not the plain 0; arrays are combined in place where possible."""
    constant, found, own = 0, None, False
    for number in numbers:
        if isinstance(number, int):
            constant = alone(constant, number)
        elif found is None:
            found = number
        else:
            found, own = together(found, number, out=found if own else None), True
    if found is None or constant == 0:
        return constant if found is None else found
    return together(found, constant, out=found if own else None)


LARGEST = 2**62
"""Bound of intermediate values in 64 bits: half of the positive range, so that two can be added."""


def greatest(numbers: Whole) -> int:
    """The largest element of a number or an array; 0 for an empty array."""
    if isinstance(numbers, int):
        return numbers
    return int(np.max(numbers)) if np.size(numbers) else 0


def fits(*bounds: float) -> bool:
    """Whether values with these upper bounds fit 64 bits."""
    return max(bounds) < LARGEST


def wide(numbers: Whole) -> Whole:
    """The numbers as Python integers, which never overflow; slow."""
    return numbers if isinstance(numbers, int) else np.asarray(numbers).astype(object)


def exact(numbers: Whole, *bounds: float) -> Whole:
    """The numbers unchanged if values with these upper bounds fit 64 bits, else as Python integers."""
    return numbers if fits(*bounds) else wide(numbers)


def narrow(numbers: Whole) -> Whole:
    """The numbers as int64 if they fit."""
    return numbers.astype(np.int64) if numbers.dtype == object and numbers.max() < np.iinfo(np.int64).max else numbers


def exact_product(*numbers: Whole) -> Whole:
    """Elementwise product of arrays, as Python integers if it could exceed 64 bits."""
    most = float(np.prod([float(greatest(each)) for each in numbers]))
    return reduce(np.multiply, (exact(each, most) for each in numbers))


SMALL = 64
"""Denominators up to this are applied last, so an intermediate value is at most this multiple of the result."""


def in_steps(count: Whole, numerator: int, denominator: int) -> Whole:
    """ceil(count x numerator / denominator). No intermediate value exceeds `SMALL` times the result."""
    numerator, denominator = reduced(numerator, denominator)
    if denominator == 1:
        return count * numerator
    if denominator <= SMALL:
        return ceil_div(count * numerator, denominator)
    whole = count // denominator
    return whole * numerator + ceil_div((count - whole * denominator) * numerator, denominator)


@cache
def reduced(numerator: int, denominator: int) -> tuple[int, int]:
    """The ratio in lowest terms."""
    common = gcd(numerator, denominator)
    return numerator // common, denominator // common
