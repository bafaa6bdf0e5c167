"""Exact arithmetic on whole numbers, and on arrays of them: the same formula for one mapping and for many.

`Whole` is an `int`, or a NumPy array of `int64` or (where those are too short) of Python integers. A formula that uses
`+ - * //` and these functions only takes and gives either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, reduce
from math import gcd
from operator import add
from typing import Any

import numpy as np

Whole = Any
"""An `int`, or an array of whole numbers."""


def ceil_div(dividend: Whole, divisor: Whole) -> Whole:
    """The quotient of whole numbers, the divisor at least 1, rounded up."""
    if isinstance(divisor, int) and divisor == 1:
        return dividend
    quotient = dividend + (divisor - 1)
    quotient //= divisor
    return quotient


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


def is_zero(number: Whole) -> bool:
    """Whether this is the plain number 0, which arrays need not be combined with."""
    return isinstance(number, int) and number == 0


def product(one: Whole, other: Whole) -> Whole:
    """The product, element by element."""
    if isinstance(one, int) and one == 1:
        return other
    return one * other if not is_zero(other) else 0


def total(*numbers: Whole) -> Whole:
    """The sum, element by element."""
    return _reduced(np.add, add, numbers)


def largest(*numbers: Whole) -> Whole:
    """The largest, element by element; none is negative."""
    return _reduced(np.maximum, max, numbers)


def _reduced(together: np.ufunc, alone: Callable[[int, int], int], numbers: Iterable[Whole]) -> Whole:
    """All numbers that are not the plain 0, reduced; arrays in as few steps over memory as can be."""
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
"""What no intermediate value may exceed in 64 bits: half of their range, so that two can be added."""


def greatest(numbers: Whole) -> int:
    """The greatest element of a number or an array, as an `int`; 0 of none."""
    if isinstance(numbers, int):
        return numbers
    return int(np.max(numbers)) if np.size(numbers) else 0


def fits(*bounds: float) -> bool:
    """Whether 64 bits are enough for values with these upper bounds."""
    return max(bounds) < LARGEST


def wide(numbers: Whole) -> Whole:
    """The same numbers as Python integers, which never overflow: exact where 64 bits are too few, and slow."""
    return numbers if isinstance(numbers, int) else np.asarray(numbers).astype(object)


def exact(numbers: Whole, *bounds: float) -> Whole:
    """The numbers as they are where 64 bits are enough for values with these upper bounds; else as Python integers."""
    return numbers if fits(*bounds) else wide(numbers)


def narrow(numbers: Whole) -> Whole:
    """The numbers in 64 bits where those are enough."""
    return numbers.astype(np.int64) if numbers.dtype == object and numbers.max() < np.iinfo(np.int64).max else numbers


def exact_product(*numbers: Whole) -> Whole:
    """The product of arrays, element by element; of Python integers where 64 bits are too few."""
    most = float(np.prod([float(greatest(each)) for each in numbers]))
    return reduce(np.multiply, (exact(each, most) for each in numbers))


SMALL = 64
"""Denominators up to this are divided by last: an intermediate value is so many times the result at most."""


def in_steps(count: Whole, numerator: int, denominator: int) -> Whole:
    """count x numerator / denominator, rounded up once. No intermediate value exceeds `SMALL` times the result."""
    numerator, denominator = reduced(numerator, denominator)
    if denominator == 1:
        return count * numerator
    if denominator <= SMALL:
        return ceil_div(count * numerator, denominator)
    whole = count // denominator
    return whole * numerator + ceil_div((count - whole * denominator) * numerator, denominator)


@cache
def reduced(numerator: int, denominator: int) -> tuple[int, int]:
    """The same ratio in lowest terms."""
    common = gcd(numerator, denominator)
    return numerator // common, denominator // common
