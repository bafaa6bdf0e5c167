"""Float values on which comparisons and conversions may fail."""

from __future__ import annotations

from typing import Any

import numpy as np

REALS = (
    np.nan, np.inf, -np.inf, 0.0, -0.0, 1e38, -1e38, 3.4028235e38, -3.4028235e38, 1e-40, -1e-40, 1e-45, 1.1754944e-38,
    0.5, -0.5, 1.5, 2.5, -1.5, 127.0, 127.5, 128.0, -128.0, -128.5, -129.0, 255.5, 256.0, 32767.5, -32769.0, 65535.9,
    2.0**31, -(2.0**31), 2.0**31 + 256, 2.0**32, 2.0**63, -(2.0**63), -(2.0**63) * 1.5, 2.0**64, 88.0, 89.0, -88.0,
    -104.0, 710.0, -746.0, 1.0, -1.0,
)  # fmt: skip
"""NaN, infinities, ends of types, denormals, and limits of exponentials."""


def sprinkled(values: Any, seed: int, share: float = 0.1) -> Any:
    """A copy with odd values at some places."""
    random = np.random.default_rng(seed)
    found = values.copy()
    places = random.random(found.shape) < share
    with np.errstate(over="ignore"):
        found[places] = random.choice(np.array(REALS), places.sum()).astype(found.dtype)
    return found


def bits(values: Any) -> list[Any]:
    """The bits of an array, with one bit pattern for all NaNs, for exact comparison."""
    if values.dtype.kind != "f":
        return list(values.ravel().tolist())
    same = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    return list(np.ascontiguousarray(same).view(f"u{values.dtype.itemsize}").ravel().tolist())
