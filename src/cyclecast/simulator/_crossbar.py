"""The behaviour model of one memristor array: states, bit-serial inputs, sliced weights, converters.

An array is either write-only or read-only (the WO and RO of the poster's figure, read as two phases of an array;
its wording is not explained by any source): weights are programmed in the state WRITE, products are taken in the
state READ. Anything else is a `BehaviourError`.

The arithmetic is ISAAC's (Shafiee et al., ISCA 2016, section V): weights are stored with an offset of half their
range, `cell_bits` in each of several neighbouring columns; inputs arrive as two's complement, `dac_bits` per input
step, the highest bit counting negatively (wider DACs take inputs with an offset, too, which keeps the number of steps);
a further column sums the inputs, from which offset and flips are corrected.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from cyclecast.device import Device
from cyclecast.errors import BehaviourError

Integers = NDArray[np.int64]


class State(StrEnum):
    """What an array is ready for."""

    WRITE = "write"
    READ = "read"


class Array:
    """One array of a device. Starts in the state WRITE, unwritten."""

    def __init__(self, device: Device, name: str = "array") -> None:
        self.device = device
        self.name = name
        self.state = State.WRITE
        self.activations = 0
        """Matrix-vector products taken so far."""
        self._phases: list[tuple[Integers, Integers]] = []
        """For each row phase, the cells of its word lines, and which of its columns are stored flipped."""
        self._weight_sums: Integers = np.zeros(0, dtype=np.int64)

    def to_read(self) -> None:
        """Enter the state READ; an unwritten array has nothing to read."""
        if not self._phases:
            raise BehaviourError(self.name, "a read", "the array has not been written", "write its weights first")
        self.state = State.READ

    def to_write(self) -> None:
        """Enter the state WRITE; what was written stays until it is overwritten."""
        self.state = State.WRITE

    def write(self, weights: Integers) -> None:
        """Program integer weights, word lines x filters; only in the state WRITE."""
        if self.state is not State.WRITE:
            raise BehaviourError(self.name, "a write", "the array is in the state read", "to_write() first")
        array, bits = self.device.array, self.device.bits.weight
        lines, filters = weights.shape
        if lines > array.rows or filters > self.device.filters_per_array:
            raise BehaviourError(
                self.name,
                f"{lines} x {filters} weights",
                f"the array holds {array.rows} x {self.device.filters_per_array}",
                "smaller tiles",
            )
        self._require_range("weights", weights, bits)
        offset = weights.astype(np.int64) + (1 << (bits - 1))
        shifts = np.arange(self.device.slices) * array.cell_bits
        cells = (offset[:, :, None] >> shifts) & self._cell_most
        self._phases = [
            self._encoded(cells[first : first + array.active_rows]) for first in range(0, lines, array.active_rows)
        ]
        self._weight_sums = weights.astype(np.int64).sum(axis=0)

    def multiply(self, inputs: Integers) -> Integers:
        """The product of one input vector (one value per word line) with the weights; only in the state READ.

        Exact while the converters can tell all sums apart (`Array.lossless_adc_bits`); beyond that, sums saturate.
        """
        if self.state is not State.READ:
            raise BehaviourError(self.name, "a read", "the array is in the state write", "to_read() first")
        lines = sum(len(cells) for cells, _ in self._phases)
        if inputs.shape != (lines,):
            raise BehaviourError(self.name, f"an input of shape {inputs.shape}", f"there are {lines} word lines")
        bits = self.device.bits.activation
        self._require_range("inputs", inputs, bits)
        self.activations += 1
        offset = 0 if self.device.array.dac_bits == 1 else 1 << (bits - 1)
        total = -offset * self._weight_sums
        slice_weights = 1 << (np.arange(self.device.slices) * self.device.array.cell_bits)
        for step_weight, pulses in self._input_steps(inputs.astype(np.int64) + offset, bits):
            sums, count = self._sums(pulses)
            total += step_weight * (sums @ slice_weights - (count << (self.device.bits.weight - 1)))
        return total

    def _input_steps(self, inputs: Integers, bits: int) -> list[tuple[int, Integers]]:
        """What each step counts for, and the values that the DACs drive."""
        width = self.device.array.dac_bits
        places = range(0, bits, width)
        steps = [(1 << place, (inputs >> place) & ((1 << width) - 1)) for place in places]
        if width == 1:
            steps[-1] = (-steps[-1][0], steps[-1][1])
        return steps

    def _sums(self, pulses: Integers) -> tuple[Integers, int]:
        """What the converters make of each column, flips undone, and the sum of the inputs (the unit column)."""
        total, first = np.zeros(self._phases[0][1].shape, dtype=np.int64), 0
        for cells, flipped in self._phases:
            active = pulses[first : first + len(cells)]
            first += len(cells)
            column = np.minimum(np.tensordot(active, cells, axes=1), (1 << self.device.array.adc_bits) - 1)
            total += column + flipped * (self._cell_most * active.sum() - 2 * column)
        return total, int(pulses.sum())

    def _encoded(self, cells: Integers) -> tuple[Integers, Integers]:
        """The cells of one row phase as they are stored; a flipped column sums up to at most half of its range."""
        flipped = cells.sum(axis=0) * 2 > len(cells) * self._cell_most
        if not self.device.array.adc_saves_bit:
            flipped = np.zeros_like(flipped)
        return np.where(flipped, self._cell_most - cells, cells), flipped.astype(np.int64)

    @property
    def _cell_most(self) -> int:
        return (1 << self.device.array.cell_bits) - 1

    def _require_range(self, what: str, values: Integers, bits: int) -> None:
        least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        if values.size and (values.min() < least or values.max() > most):
            raise BehaviourError(
                self.name,
                f"{what} from {values.min()} to {values.max()}",
                f"{bits} bits hold {least} to {most}",
                "values quantised to the device's bits",
            )
