"""Exact arithmetic on whole numbers, and on arrays of them: the same formula for one mapping and for many.

`Whole` is an `int`, or a NumPy array of `int64` or (where those are too short) of Python integers. A formula that uses
`+ - * //` and these functions only takes and gives either.
"""

from __future__ import annotations

from functools import cache
from math import gcd
from typing import Any

import numpy as np

Whole = Any
"""An `int`, or an array of whole numbers."""


def ceil_div(dividend: Whole, divisor: Whole) -> Whole:
    """The quotient of whole numbers, the divisor at least 1, rounded up."""
    if isinstance(divisor, int) and divisor == 1:
        return dividend
    return (dividend + (divisor - 1)) // divisor


def smaller(one: Whole, other: Whole) -> Whole:
    """The smaller of the two, element by element."""
    if isinstance(one, int) and isinstance(other, int):
        return min(one, other)
    return np.minimum(one, other)


def larger(one: Whole, other: Whole) -> Whole:
    """The larger of the two, element by element."""
    if isinstance(one, int) and isinstance(other, int):
        return max(one, other)
    return np.maximum(one, other)


def ceil_log2(number: Whole) -> Whole:
    """The least power that 2 has to be raised to for at least so much; exact up to 2^53, numbers are at least 1."""
    if isinstance(number, int):
        return (number - 1).bit_length()
    exponent = np.frexp((number - 1).astype(np.float64))[1]
    return exponent.astype(number.dtype)


def in_steps(count: Whole, numerator: int, denominator: int) -> Whole:
    """count x numerator / denominator, rounded up once. No intermediate value is much larger than the result."""
    numerator, denominator = reduced(numerator, denominator)
    if denominator == 1:
        return count * numerator
    return count // denominator * numerator + ceil_div(count % denominator * numerator, denominator)


@cache
def reduced(numerator: int, denominator: int) -> tuple[int, int]:
    """The same ratio in lowest terms."""
    common = gcd(numerator, denominator)
    return numerator // common, denominator // common
