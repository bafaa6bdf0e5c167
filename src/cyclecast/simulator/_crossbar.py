"""The behaviour model of one array: states, encoded weights, input steps, converters.

An array is either write-only or read-only (the WO and RO of the poster's figure, read as two phases of an array;
its wording is not explained by any source): weights are programmed in the state WRITE, products are taken in the
state READ. Anything else is a `BehaviourError`.

Weights are stored `cell_bits` in each of several neighbouring columns, in one of three encodings:

* with an offset of half their range (Shafiee et al., ISAAC, ISCA 2016, section V); a further column sums the inputs,
  from which offset and flips are corrected;
* their magnitude in the positive or the negative one of two columns, converted apart;
* their magnitude in one of a pair of word lines driven with opposite signs, so that the bit line itself subtracts
  (Wan et al., NeuRRAM, Nature 2022).

Inputs arrive `dac_bits` per step, as two's complement, the highest bit counting negatively (wider DACs take inputs
with an offset, too, which keeps the number of steps), or as a magnitude whose sign is the polarity of the drive. A sign
and a magnitude have no room for the most negative value. How many bit lines are read at once changes no value.
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
    """What an array is ready for."""

    WRITE = "write"
    READ = "read"


class Reading(NamedTuple):
    """One read of an array: an input step applied to the word lines of a row phase."""

    weight: int
    """What the input step counts for."""
    phase: int
    pulses: Integers
    """What drives each word line of the phase."""
    sums: Integers
    """Of the bit lines: filters x columns of a weight."""
    codes: Integers
    """The same as the converters tell them."""


class Crossbar:
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
        """The product of one input vector (one value per row of weights) with the weights; only in the state READ.

        Exact while the converters can tell all sums apart (`Crossbar.lossless_adc_bits`), and where there are none;
        beyond that, sums saturate.
        """
        total = self.correction
        for reading in self.readings(inputs):
            total += self.shifted(reading)
        return total

    def readings(self, inputs: Integers) -> list[Reading]:
        """All reads of the product of one input vector: input steps, and in each of them the row phases."""
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
        """What a read adds to the sum of every filter: flips and offsets undone, slices and steps shifted."""
        driven = reading.pulses.sum()
        flipped = self._phases[reading.phase][1]
        column = reading.codes + flipped * (self._cell_most * driven - 2 * reading.codes)
        added: Integers = reading.weight * (column @ self._column_weights - driven * self._weight_offset)
        return added

    @property
    def correction(self) -> Integers:
        """What is added once to the sum of every filter, for the offset of the inputs."""
        return -self._input_offset * self._weight_sums

    @property
    def cells(self) -> Integers:
        """As they are stored: word lines x filters x columns of a weight."""
        return np.concatenate([cells for cells, _ in self._phases])

    @property
    def flipped(self) -> Integers:
        """Which columns are stored complemented, 0 or 1: row phases x filters x columns of a weight."""
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
        """What each of the columns of a weight counts for."""
        slices = 1 << (np.arange(self.device.slices) * self.device.array.cell_bits)
        pairs = self.device.array.encoding is Encoding.DIFFERENTIAL_COLUMNS
        return np.concatenate((slices, -slices)) if pairs else slices

    def _cells(self, weights: Integers) -> Integers:
        """What the cells hold: word lines x filters x columns of a weight."""
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
        """The cells of one row phase as they are stored; a flipped column sums up to at most half of its range."""
        flipped = cells.sum(axis=0) * 2 > len(cells) * self._cell_most
        if not self.device.array.flips_columns:
            flipped = np.zeros_like(flipped)
        return np.where(flipped, self._cell_most - cells, cells), flipped.astype(np.int64)

    def _input_steps(self, inputs: Integers) -> Iterator[tuple[int, Integers]]:
        """What each step counts for, and what the DACs drive; a negative value drives with the other polarity."""
        array, place = self.device.array, 0
        signed = array.inputs is Inputs.SIGN_MAGNITUDE
        for bits in self.device.step_bits:
            values = ((np.abs(inputs) if signed else inputs) >> place) & ((1 << bits) - 1)
            highest = place + bits == self.device.bits.activation and not self._input_offset
            yield (-1 if highest and not signed else 1) << place, np.sign(inputs) * values if signed else values
            place += bits

    def _converted(self, sums: Integers) -> Integers:
        """The sums as the converters tell them; a digital array has none."""
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
