"""The networks of PIMCOMP's plans, with 16 bits: products in program order."""

from __future__ import annotations

from functools import cache

from cyclecast.network import Network
from placed import Build, network, resnet18


@cache
def squeezenet() -> Network:
    """SqueezeNet 1.1 (Iandola et al., 2016), with `same` padding."""
    build, size = Build(), 56
    data, channels = [build.conv([], 112, 3, 64, 3, 2, 16)], 64
    for squeeze, expand, smaller in (
        (16, 64, 0), (16, 64, 0), (32, 128, 1), (32, 128, 0), (48, 192, 1), (48, 192, 0), (64, 256, 0), (64, 256, 0)
    ):  # fmt: skip
        size //= 1 + smaller
        narrow = build.conv(data, size, channels, squeeze, 1, 1, 16)
        data, channels = [build.conv([narrow], size, squeeze, expand, kernel, 1, 16) for kernel in (1, 3)], 2 * expand
    build.conv(data, size, channels, 1000, 1, 1, 16)
    return network("squeezenet", build.operators)


INCEPTION = (
    (28, 192, 64, 96, 128, 16, 32, 32), (28, 256, 128, 128, 192, 32, 96, 64), (14, 480, 192, 96, 208, 16, 48, 64),
    (14, 512, 160, 112, 224, 24, 64, 64), (14, 512, 128, 128, 256, 24, 64, 64), (14, 512, 112, 144, 288, 32, 64, 64),
    (14, 528, 256, 160, 320, 32, 128, 128), (7, 832, 256, 160, 320, 32, 128, 128),
    (7, 832, 384, 192, 384, 48, 128, 128),
)  # fmt: skip
"""Per module: size; channels; filters of 1x1; of the reduction before 3x3, and of 3x3; before 5x5, and of 5x5; after
the pool."""


@cache
def googlenet() -> Network:
    """GoogLeNet (Szegedy et al., CVPR 2015, table 1)."""
    build = Build()
    first = build.conv([], 112, 3, 64, 7, 2, 16)
    data = [build.conv([build.conv([first], 56, 64, 64, 1, 1, 16)], 56, 64, 192, 3, 1, 16)]
    for size, channels, one, before3, three, before5, five, pool in INCEPTION:
        found = [build.conv(data, size, channels, one, 1, 1, 16)]
        found.append(build.conv([build.conv(data, size, channels, before3, 1, 1, 16)], size, before3, three, 3, 1, 16))
        found.append(build.conv([build.conv(data, size, channels, before5, 1, 1, 16)], size, before5, five, 5, 1, 16))
        data = [*found, build.conv(data, size, channels, pool, 1, 1, 16)]
    build.dense(data, 1024, 1000, 16)
    return network("googlenet", build.operators)


NETWORKS = {"resnet18": lambda: resnet18(16), "squeezenet": squeezenet, "googlenet": googlenet}
