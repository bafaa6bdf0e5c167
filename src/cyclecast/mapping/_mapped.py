"""The protocol of a network with its mappings, the input of all later steps."""

from __future__ import annotations

from collections.abc import Mapping as Mapped
from typing import Protocol

from cyclecast.device import Device
from cyclecast.mapping._mapping import Mapping
from cyclecast.network import Network


class MappedNetwork(Protocol):
    """A network with a mapping for each of its kernels; `tune`, `place` and `stored.load` return one."""

    @property
    def network(self) -> Network:
        """The network, with its operators."""
        ...

    @property
    def device(self) -> Device:
        """The device that the mappings fit."""
        ...

    @property
    def mappings(self) -> Mapped[str, Mapping]:
        """The mapping of every kernel."""
        ...
