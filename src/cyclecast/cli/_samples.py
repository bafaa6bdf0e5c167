"""Options of quantisation, and the samples that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.terminal import short

if TYPE_CHECKING:
    from cyclecast.frontend import Quantization

IMAGE_MEAN, IMAGE_DEVIATION = "0.485,0.456,0.406", "0.229,0.224,0.225"
"""Mean and standard deviation of red, green and blue in ImageNet, which most image networks are trained with."""

CalibrateOption = Annotated[
    Path | None,
    typer.Option("--calibrate", help="Static quantisation from samples: a folder of images, or an .npz file."),
]
ActivationsOption = Annotated[
    Literal["affine", "symmetric"] | None,
    typer.Option("--activations", help="Integers with a zero point, or without; default: affine if sums are exact."),
]
WeightsOption = Annotated[
    Literal["symmetric", "affine"], typer.Option("--weights", help="Integers with one scale per output channel.")
]
MeanOption = Annotated[str, typer.Option("--image-mean", help="Mean of each image channel, from 0 to 1.")]
DeviationOption = Annotated[
    str,
    typer.Option("--image-deviation", help="Deviation of each channel: inputs are (value / 255 - mean) / deviation."),
]


@dataclass(frozen=True)
class QuantizationOptions:
    """The options of quantisation."""

    path: Path | None
    activations: str | None
    weights: str
    mean: str
    deviation: str

    def quantization(self, model: Any, device: Device, shapes: Mapping[str, tuple[int, ...]]) -> Quantization:
        """The options for the front ends, with the bits of the device and the samples.

        Raises `OptionError`, `ModelError`.
        """
        from cyclecast.frontend import (
            Quantization,
            activations_of,
            bits_of,
            input_shapes,
            read_samples,
            require_channels,
        )

        bits = bits_of(device)
        schemes: Any = (activations_of(device, self.activations), self.weights)  # checked by Quantization
        centre, spread = (_channels(*option) for option in (("mean", self.mean), ("deviation", self.deviation)))
        require_channels(centre, spread)
        if self.path is None:
            return Quantization(*bits, schemes[0], schemes[1])
        inputs = input_shapes(model, shapes)
        samples = read_samples(self.path, inputs, mean=centre, deviation=spread)
        return Quantization(*bits, schemes[0], schemes[1], samples)


def _channels(what: str, numbers: str) -> tuple[float, ...]:
    """One number per channel of an image."""
    try:
        return tuple(float(number) for number in numbers.split(","))
    except ValueError:
        option = f"--image-{what}"
        raise OptionError(option, f"'{short(numbers)}'", "it must be N,N,N", f"{option} {IMAGE_MEAN}") from None
