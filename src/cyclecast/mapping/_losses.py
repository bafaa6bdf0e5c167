"""Losses of converters: operators with sums that the ADCs of the device cut off."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as Mapped
from dataclasses import dataclass

from cyclecast.device import Device
from cyclecast.mapping._mapping import Mapping
from cyclecast.network import Network


@dataclass(frozen=True, slots=True)
class Loss:
    """Sums that can saturate, as the mappings of a network put them on bit lines."""

    operators: int
    """With such sums."""
    of: int
    """Operators on arrays."""
    adc_bits: int
    exact_adc_bits: int
    """The least resolution with which nothing would be lost."""

    def __str__(self) -> str:
        return (
            f"{self.adc_bits}-bit ADCs cut off sums of {self.operators} of {self.of} operators (exact: "
            f"{self.exact_adc_bits} bits): the device's values are not those of module.so; "
            "cyclecast verify compares both"
        )


def network_loss(network: Network, mappings: Mapped[str, Mapping], device: Device) -> Loss | None:
    """Loss of a network with a mapping of each kernel; None where every sum is exact."""
    return loss_of([(mappings[member.kernel], member.count) for member in network.members], device)


def loss_of(counted: Iterable[tuple[Mapping, int]], device: Device) -> Loss | None:
    """Loss of mappings with their numbers of occurrences; None where every sum is exact."""
    array, needed = device.array, [(exact_adc_bits(mapping, device), count) for mapping, count in counted]
    lossy = sum(count for bits, count in needed if bits > array.adc_bits)
    if array.digital or not lossy:
        return None
    return Loss(lossy, sum(count for _, count in needed), array.adc_bits, max(bits for bits, _ in needed))


def exact_adc_bits(mapping: Mapping, device: Device) -> int:
    """The least resolution that tells all sums of a mapping's arrays apart; groups beside its own count, too."""
    return device.array.exact_adc_bits(mapping.packed * mapping.word_lines * device.array.rows_per_weight)
