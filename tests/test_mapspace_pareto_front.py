"""The one filter of dominated points, against its definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.mapspace import undominated


@given(st.lists(st.tuples(*[st.integers(1, 6)] * 3), max_size=40))
def test_what_is_undominated(points: list[tuple[int, int, int]]) -> None:
    """Of equal points one is kept; no kept one is as good as another in everything; the first coordinate ascends.

    Of Python integers beyond 64 bits, too.
    """
    columns = np.array(points, np.int64).reshape(-1, 3).T
    places = undominated(*columns)
    kept = [points[place] for place in places]
    assert kept == sorted(kept)
    for scale in (1, 10**30):
        assert places == undominated(*(scale * column.astype(object) for column in columns))
    assert places == undominated(*(10**18 * column for column in columns))

    def as_good(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
        return all(a <= b for a, b in zip(one, other, strict=True))

    assert sorted(kept) == sorted({p for p in points if not any(as_good(o, p) and o != p for o in points)})
