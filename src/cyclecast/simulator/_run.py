"""A chip of behaviour-model arrays, each identified by the address of its weights in the program."""

from __future__ import annotations

from cyclecast.device import Device
from cyclecast.errors import BehaviourError
from cyclecast.simulator._crossbar import Crossbar, Integers


class Chip:
    """The arrays that a lowered program uses. Replicas share an address, since they hold equal weights."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.arrays: dict[int, Crossbar] = {}

    def program(self, address: int, weights: Integers) -> None:
        """Write the weights, (word lines, filters), of the array at this address, and switch it to READ."""
        array = self.arrays.setdefault(address, Crossbar(self.device, f"array {len(self.arrays)}"))
        array.to_write()
        array.write(weights)
        array.to_read()

    def multiply(self, address: int, inputs: Integers) -> Integers:
        """Multiply inputs, (word lines,), by the weights of the array at this address. Raises `BehaviourError`."""
        if address not in self.arrays:
            raise BehaviourError("chip", "a read", "no array has been written there", "program the array first")
        return self.arrays[address].multiply(inputs)

    @property
    def activations(self) -> int:
        """Matrix-vector products computed by all arrays."""
        return sum(array.activations for array in self.arrays.values())
