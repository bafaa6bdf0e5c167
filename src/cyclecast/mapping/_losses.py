"""Losses of converters: operators with sums that exceed the range of the device's ADCs."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as Mapped
from dataclasses import dataclass

from cyclecast.device import Device
from cyclecast.mapping._mapping import Mapping
from cyclecast.network import Network


@dataclass(frozen=True, slots=True)
class Loss:
    """The operators of a network whose sums can saturate an ADC, with the mappings of the network."""

    operators: int
    """Number of such operators."""
    of: int
    """Number of all operators on arrays."""
    adc_bits: int
    exact_adc_bits: int
    """Least resolution of an ADC that loses no sum."""

    def __str__(self) -> str:
        return (
            f"{self.adc_bits}-bit ADCs cut off sums of {self.operators} of {self.of} operators (exact: "
            f"{self.exact_adc_bits} bits): the device's values are not those of module.so; "
            "cyclecast verify compares both"
        )


def network_loss(network: Network, mappings: Mapped[str, Mapping], device: Device) -> Loss | None:
    """The loss of a network with a mapping for each kernel; None if every sum is exact."""
    return loss_of([(mappings[member.kernel], member.count) for member in network.members], device)


def loss_of(counted: Iterable[tuple[Mapping, int]], device: Device) -> Loss | None:
    """The loss of (mapping, number of operators) pairs; None if every sum is exact."""
    array, needed = device.array, [(exact_adc_bits(mapping, device), count) for mapping, count in counted]
    lossy = sum(count for bits, count in needed if bits > array.adc_bits)
    if array.digital or not lossy:
        return None
    return Loss(lossy, sum(count for _, count in needed), array.adc_bits, max(bits for bits, _ in needed))


def exact_adc_bits(mapping: Mapping, device: Device) -> int:
    """Least resolution of an ADC that loses no sum of the mapping's arrays [bits]; all packed groups count."""
    return device.array.exact_adc_bits(mapping.packed * mapping.word_lines * device.array.rows_per_weight)
