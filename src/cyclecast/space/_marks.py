"""The annotations by which a schedule says what has been decided.

On the contraction's block, until it is lowered: `cim.sketch` names the sketch, `cim.NAME` holds each decision.
"""

from __future__ import annotations

PREFIX = "cim."
SKETCH = "cim.sketch"
IM2COL = "im2col"
"""The sketch that this package can lower."""


def mark(decision: str) -> str:
    """The annotation that holds a decision."""
    return PREFIX + decision
