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
        self._cells: Integers | None = None
        self._flipped: Integers = np.zeros(0, dtype=np.int64)
        self._weight_sums: Integers = np.zeros(0, dtype=np.int64)

    def to_read(self) -> None:
        """Enter the state READ; an unwritten array has nothing to read."""
        if self._cells is None:
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
        most = lines * self._cell_most
        flipped = cells.sum(axis=0) * 2 > most if array.adc_saves_bit else np.zeros(cells.shape[1:], dtype=bool)
        self._cells = np.where(flipped, self._cell_most - cells, cells)
        self._flipped = flipped.astype(np.int64)
        self._weight_sums = weights.astype(np.int64).sum(axis=0)

    def multiply(self, inputs: Integers) -> Integers:
        """The product of one input vector (one value per word line) with the weights; only in the state READ.

        Exact while the converters can tell all sums apart (`Array.lossless_adc_bits`); beyond that, sums saturate.
        """
        if self.state is not State.READ or self._cells is None:
            raise BehaviourError(self.name, "a read", "the array is in the state write", "to_read() first")
        lines = self._cells.shape[0]
        if inputs.shape != (lines,):
            raise BehaviourError(self.name, f"an input of shape {inputs.shape}", f"there are {lines} word lines")
        bits = self.device.bits.activation
        self._require_range("inputs", inputs, bits)
        self.activations += 1
        offset = 0 if self.device.array.dac_bits == 1 else 1 << (bits - 1)
        total = -offset * self._weight_sums
        slice_weights = 1 << (np.arange(self.device.slices) * self.device.array.cell_bits)
        for step_weight, pulses in self._input_steps(inputs.astype(np.int64) + offset, bits):
            sums, count = self._sums(self._cells, pulses)
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

    def _sums(self, cells: Integers, pulses: Integers) -> tuple[Integers, int]:
        """What the converters make of each column, flips undone, and the sum of the inputs (the unit column)."""
        array = self.device.array
        total = np.zeros(cells.shape[1:], dtype=np.int64)
        for first in range(0, len(pulses), array.active_rows):
            active = slice(first, first + array.active_rows)
            column = np.tensordot(pulses[active], cells[active], axes=1)
            if array.adc_bits < array.lossless_adc_bits:
                column = np.minimum(column, (1 << array.adc_bits) - 1)
            total += column
        count = int(pulses.sum())
        return total + self._flipped * (self._cell_most * count - 2 * total), count

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
