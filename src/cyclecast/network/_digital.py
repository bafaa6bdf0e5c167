"""Operators that arrays do not compute: their elementary operations by class, and the bytes that a chain moves."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from cyclecast.storage.reading import loadable

NOWHERE = -1
"""`after` of an operator that depends on no operator on arrays."""


@loadable
@dataclass(frozen=True, slots=True)
class DigitalOperator:
    """An operator that arrays do not compute, for one image.

    Operators of a *chain* are fused: each element goes through all of them, and only the first operands are loaded and
    the last results stored. A product that arrays compute begins a chain; its first operator is `requantise`.
    """

    name: str
    _: KW_ONLY
    chain: int
    """Number of the chain."""
    after: int
    """Place in the network of the last operator on arrays that it depends on; -1 if there is none."""
    work: tuple[tuple[str, int], ...]
    """Operations of digital units by class (`cyclecast.device.OperationClass`, or `other`); () for an operator that
    only moves values, or is part of the one before it."""
    operations: int
    """Elementary operations of a processor."""
    through: int
    """Bytes of its operands that come from the chain itself; loaded only by a host that begins in its middle."""
    loads: int
    """Bytes of its other operands."""
    stores: int
    """Bytes of its results, if operators outside of the chain read them."""
