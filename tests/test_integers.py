from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast._integers import ceil_div, ceil_log2, in_steps, larger, smaller

WHOLE = st.integers(min_value=0, max_value=10**6)
POSITIVE = st.integers(min_value=1, max_value=10**6)


@given(WHOLE, POSITIVE)
def test_a_quotient_is_rounded_up(dividend: int, divisor: int) -> None:
    assert ceil_div(dividend, divisor) == ceil(Fraction(dividend, divisor))


@given(st.integers(min_value=0, max_value=10**30), POSITIVE, POSITIVE)
def test_steps_are_rounded_up_once(count: int, numerator: int, denominator: int) -> None:
    assert in_steps(count, numerator, denominator) == ceil(count * Fraction(numerator, denominator))


@given(st.integers(min_value=1, max_value=2**53))
def test_the_power_of_two_that_is_enough(number: int) -> None:
    power = ceil_log2(number)
    assert 2**power >= number
    assert power == 0 or 2 ** (power - 1) < number


@pytest.mark.parametrize("dtype", [np.int64, object])
@given(pairs=st.lists(st.tuples(WHOLE, POSITIVE), min_size=1, max_size=9))
def test_arrays_are_treated_element_by_element(dtype: type, pairs: list[tuple[int, int]]) -> None:
    one, other = np.array(pairs, dtype=dtype).T
    for function in (ceil_div, smaller, larger, lambda a, b: in_steps(a, 390625, 4), lambda a, b: ceil_log2(b)):
        assert list(function(one, other)) == [function(*pair) for pair in pairs]
        assert function(one, other).dtype == dtype
