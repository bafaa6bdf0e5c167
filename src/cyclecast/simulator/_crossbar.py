"""The behaviour model of one array: states, encoded weights, input steps, converters.

An array is in one of two states (the WO and RO of the poster's figure, read as two phases of an array; no source
explains its wording): weights are programmed in the state WRITE, products are computed in the state READ. Anything else
is a `BehaviourError`.

Weights are stored with `cell_bits` in each of several neighbouring columns, in one of three encodings:

* with an offset of half their range (Shafiee et al., ISAAC, ISCA 2016, section V); a further column sums the inputs,
  to correct for offset and flips;
* the magnitude in the positive or the negative one of two columns, which are converted separately;
* the magnitude in one of a pair of word lines driven with opposite signs, so that the bit line itself subtracts
  (Wan et al., NeuRRAM, Nature 2022).

Inputs arrive with `dac_bits` per step. In two's complement the highest bit counts negatively (wider DACs take inputs
with an offset, which keeps the number of steps). With sign and magnitude the sign is the polarity of the drive, and the
most negative value cannot be represented. The number of bit lines read at once changes no value.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cyclecast.device import Device, Encoding, Inputs
from cyclecast.errors import BehaviourError

Integers = NDArray[np.int64]


class State(StrEnum):
    """The operation that an array is ready for."""

    WRITE = "write"
    READ = "read"


class Reading(NamedTuple):
    """One read of an array: an input step applied to the word lines of one row phase."""

    weight: int
    """Factor of the input step."""
    phase: int
    pulses: Integers
    """Drive of each word line of the phase, (word lines,)."""
    sums: Integers
    """Sums of the bit lines, (filters, columns of a weight)."""
    codes: Integers
    """The sums after conversion."""


class Crossbar:
    """One array of a device. It starts in the state WRITE, unwritten."""

    def __init__(self, device: Device, name: str = "array") -> None:
        self.device = device
        self.name = name
        self.state = State.WRITE
        self.activations = 0
        """Matrix-vector products computed so far."""
        self._phases: list[tuple[Integers, Integers]] = []
        """For each row phase: the cells of its word lines, and the columns that are stored flipped."""
        self._weight_sums: Integers = np.zeros(0, dtype=np.int64)

    def to_read(self) -> None:
        """Enter the state READ. Raises `BehaviourError` if the array has not been written."""
        if not self._phases:
            raise BehaviourError(self.name, "a read", "the array has not been written", "write its weights first")
        self.state = State.READ

    def to_write(self) -> None:
        """Enter the state WRITE; the cells keep their values until they are overwritten."""
        self.state = State.WRITE

    def write(self, weights: Integers) -> None:
        """Program integer weights, (word lines, filters).

        Raises `BehaviourError` in the state READ, and for weights of a wrong shape or range.
        """
        if self.state is not State.WRITE:
            raise BehaviourError(self.name, "a write", "the array is in the state read", "to_write() first")
        array, lines = self.device.array, self.device.word_lines_per_array
        if weights.ndim != 2:
            raise BehaviourError(self.name, f"weights of shape {weights.shape}", "they must be word lines x filters")
        if weights.shape[0] > lines or weights.shape[1] > self.device.filters_per_array:
            raise BehaviourError(
                self.name,
                f"{weights.shape[0]} x {weights.shape[1]} weights",
                f"the array holds {lines} x {self.device.filters_per_array}",
                "smaller tiles",
            )
        self._require_range("weights", weights, self.device.bits.weight, array.encoding is not Encoding.OFFSET)
        cells = self._cells(weights.astype(np.int64))
        self._phases = [
            self._stored(cells[first : first + array.active_rows]) for first in range(0, len(cells), array.active_rows)
        ]
        self._weight_sums = weights.astype(np.int64).sum(axis=0)

    def multiply(self, inputs: Integers) -> Integers:
        """Multiply one input vector, (word lines,), by the weights; the result has shape (filters,).

        It is exact for digital arrays and if the ADCs resolve all sums (`lossless_adc_bits`); otherwise sums saturate.
        Raises `BehaviourError` in the state WRITE, and for inputs of a wrong shape or range.
        """
        total = self.correction
        for reading in self.readings(inputs):
            total += self.shifted(reading)
        return total

    def readings(self, inputs: Integers) -> list[Reading]:
        """All reads of one product: for each input step, all row phases. Raises like `multiply`."""
        if self.state is not State.READ:
            raise BehaviourError(self.name, "a read", "the array is in the state write", "to_read() first")
        array, bits = self.device.array, self.device.bits.activation
        lines = sum(len(cells) for cells, _ in self._phases) // array.rows_per_weight
        if inputs.shape != (lines,):
            raise BehaviourError(self.name, f"an input of shape {inputs.shape}", f"there are {lines} word lines")
        self._require_range("inputs", inputs, bits, array.inputs is Inputs.SIGN_MAGNITUDE)
        self.activations += 1
        found = []
        for weight, pulses in self._input_steps(inputs.astype(np.int64) + self._input_offset):
            driven = pulses
            if array.encoding is Encoding.DIFFERENTIAL_ROWS:
                driven = np.stack((pulses, -pulses), axis=1).reshape(-1)
            first = 0
            for phase, (cells, _) in enumerate(self._phases):
                active = driven[first : first + len(cells)]
                first += len(cells)
                sums = np.tensordot(active, cells, axes=1)
                found.append(Reading(weight, phase, active, sums, self._converted(sums)))
        return found

    def shifted(self, reading: Reading) -> Integers:
        """Contribution of a read to the sum of every filter, (filters,).

        Flips and offsets are corrected; slices and input steps are weighted.
        """
        driven = reading.pulses.sum()
        flipped = self._phases[reading.phase][1]
        column = reading.codes + flipped * (self._cell_most * driven - 2 * reading.codes)
        added: Integers = reading.weight * (column @ self._column_weights - driven * self._weight_offset)
        return added

    @property
    def correction(self) -> Integers:
        """The term added once to the sum of every filter, for the offset of the inputs, (filters,)."""
        return -self._input_offset * self._weight_sums

    @property
    def cells(self) -> Integers:
        """Stored cells, (word lines, filters, columns of a weight)."""
        return np.concatenate([cells for cells, _ in self._phases])

    @property
    def flipped(self) -> Integers:
        """Columns that are stored complemented, 0 or 1, (row phases, filters, columns of a weight)."""
        return np.stack([flipped for _, flipped in self._phases])

    @property
    def _input_offset(self) -> int:
        is_wide = self.device.array.inputs is Inputs.TWOS_COMPLEMENT and self.device.step_bits[0] > 1
        return 1 << (self.device.bits.activation - 1) if is_wide else 0

    @property
    def _weight_offset(self) -> int:
        return 1 << (self.device.bits.weight - 1) if self.device.array.encoding is Encoding.OFFSET else 0

    @property
    def _column_weights(self) -> Integers:
        """Factor of each column of a weight."""
        slices = 1 << (np.arange(self.device.slices) * self.device.array.cell_bits)
        pairs = self.device.array.encoding is Encoding.DIFFERENTIAL_COLUMNS
        return np.concatenate((slices, -slices)) if pairs else slices

    def _cells(self, weights: Integers) -> Integers:
        """Cell values before flips, (word lines, filters, columns of a weight)."""
        encoding = self.device.array.encoding
        if encoding is Encoding.OFFSET:
            return self._sliced(weights + self._weight_offset)
        positive, negative = self._sliced(np.maximum(weights, 0)), self._sliced(np.maximum(-weights, 0))
        if encoding is Encoding.DIFFERENTIAL_COLUMNS:
            return np.concatenate((positive, negative), axis=2)
        return np.stack((positive, negative), axis=1).reshape(-1, *positive.shape[1:])

    def _sliced(self, values: Integers) -> Integers:
        return (values[:, :, None] >> (np.arange(self.device.slices) * self.device.array.cell_bits)) & self._cell_most

    def _stored(self, cells: Integers) -> tuple[Integers, Integers]:
        """Stored cells of one row phase, and the flipped columns.

        A flipped column sums to at most half of its range.
        """
        flipped = cells.sum(axis=0) * 2 > len(cells) * self._cell_most
        if not self.device.array.flips_columns:
            flipped = np.zeros_like(flipped)
        return np.where(flipped, self._cell_most - cells, cells), flipped.astype(np.int64)

    def _input_steps(self, inputs: Integers) -> Iterator[tuple[int, Integers]]:
        """Factor of each step, and the drive of the DACs; a negative value drives with the opposite polarity."""
        array, place = self.device.array, 0
        signed = array.inputs is Inputs.SIGN_MAGNITUDE
        for bits in self.device.step_bits:
            values = ((np.abs(inputs) if signed else inputs) >> place) & ((1 << bits) - 1)
            highest = place + bits == self.device.bits.activation and not self._input_offset
            yield (-1 if highest and not signed else 1) << place, np.sign(inputs) * values if signed else values
            place += bits

    def _converted(self, sums: Integers) -> Integers:
        """The sums after the ADCs; a digital array has none."""
        array = self.device.array
        if array.digital:
            return sums
        if array.signed_sums:
            return np.clip(sums, -(1 << (array.adc_bits - 1)), (1 << (array.adc_bits - 1)) - 1)
        return np.minimum(sums, (1 << array.adc_bits) - 1)

    @property
    def _cell_most(self) -> int:
        return (1 << self.device.array.cell_bits) - 1

    def _require_range(self, what: str, values: Integers, bits: int, magnitudes: bool) -> None:
        if values.dtype.kind not in "iu" and not (values.dtype.kind == "f" and (values == np.trunc(values)).all()):
            raise BehaviourError(self.name, f"{what} that are no integers", f"their type is {values.dtype}", "np.rint")
        least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        if magnitudes and bits > 1:
            least = -most
        if values.size and (values.min() < least or values.max() > most):
            raise BehaviourError(
                self.name,
                f"{what} from {values.min()} to {values.max()}",
                f"{bits} bits {'of sign and magnitude ' if magnitudes else ''}hold {least} to {most}",
                "values quantised to the device's bits",
            )
