"""The least number of 256 x 256 arrays, one cell for each weight, that hold all convolutions of a network; exact.

Layers are those of Simonyan and Zisserman, ICLR 2015 (VGG-16), and He et al., CVPR 2016 (ResNet-50). The totals follow
from them by hand: the sum of ceil(k^2 C / 256) x ceil(F / 256) over the layers.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from cyclecast.device import Device
from cyclecast.mapspace import default_mapping
from strategies import matrix_vector

ARRAYS = Device.load("hermes64").vary("levels.core.count", 400)

Layers = list[tuple[int, int]]
"""Values of a filter (kernel area x input channels), and filters."""


def vgg16() -> Layers:
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    return [(9 * inputs, outputs) for inputs, outputs in pairwise(channels)]


def resnet50() -> Layers:
    layers, inputs = [(49 * 3, 64)], 64
    for blocks, width in ((3, 64), (4, 128), (6, 256), (3, 512)):
        layers.append((inputs, 4 * width))  # the projection beside the first block of a stage
        for _ in range(blocks):
            layers += [(inputs, width), (9 * width, width), (width, 4 * width)]
            inputs = 4 * width
    return layers


@pytest.mark.parametrize(
    ("layers", "count", "arrays"), [(vgg16(), 13, 233), (resnet50(), 53, 390)], ids=["VGG-16", "ResNet-50"]
)
def test_arrays_for_one_copy_of_the_weights(layers: Layers, count: int, arrays: int) -> None:
    """233 and 390 arrays; exact."""
    assert len(layers) == count
    assert sum(default_mapping(matrix_vector(*layer), ARRAYS).weight_tiles for layer in layers) == arrays
