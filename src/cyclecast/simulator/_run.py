"""A chip of behaviour-model arrays, known by the address at which a program keeps their weights."""

from __future__ import annotations

from cyclecast.device import Device
from cyclecast.errors import BehaviourError
from cyclecast.simulator._crossbar import Crossbar, Integers


class Chip:
    """The arrays that a lowered program uses. Replicas share an address: they hold equal weights."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.arrays: dict[int, Crossbar] = {}

    def program(self, address: int, weights: Integers) -> None:
        """Write the weights of the array at this address, and make it ready to read."""
        array = self.arrays.setdefault(address, Crossbar(self.device, f"array {len(self.arrays)}"))
        array.to_write()
        array.write(weights)
        array.to_read()

    def multiply(self, address: int, inputs: Integers) -> Integers:
        """The product of the inputs with the weights of the array at this address."""
        if address not in self.arrays:
            raise BehaviourError("chip", "a read", "no array has been written there", "program the array first")
        return self.arrays[address].multiply(inputs)

    @property
    def activations(self) -> int:
        """Matrix-vector products taken by all arrays."""
        return sum(array.activations for array in self.arrays.values())
