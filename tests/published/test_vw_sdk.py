"""Cycles of VGG-13 on one 512x512 array by im2col, SDK and VW-SDK.

Rhe, Moon and Ko, "VW-SDK: Efficient Convolutional Weight Mapping Using Variable Windows for Processing-In-Memory
Architectures", DATE 2022, arXiv:2112.11282, Table I and its text: one cell per weight, no padding, one cycle for each
matrix-vector product. SDK is Zhang et al., "Efficient and Robust RRAM-based Convolutional Weight Mapping with Shifted
and Duplicated Kernel", IEEE TCAD 2020. The paper counts what is left at the edge as a whole window.
"""

from __future__ import annotations

import pytest

from cyclecast._integers import ceil_div
from cyclecast.device import Device
from cyclecast.mapping import Factors, Form, LevelFactors, Mapping
from cyclecast.mapspace._tilings import windows
from cyclecast.network import Axis, Kind, Slide, Workload
from cyclecast.search import Exhaustive, Problem, follow
from cyclecast.timing import Analytical

DEVICE = Device.model_validate(
    {
        "format": 1,
        "name": "one array",
        "cites": "Rhe et al., DATE 2022",
        "bits": {"activation": 1, "weight": 1},
        "levels": [{"name": "array", "count": 1}],
        "array": {"rows": 512, "cols": 512, "cell_bits": 1, "dac_bits": 1, "digital": True, "read": "1 ns"}
        | {"write": {"pulse": "0 ns", "verify": "0 ns", "pulses": 1, "rows": 512, "cols": 512, "arrays": 1}},
        "pipeline": {"fill": 0},
    }
)
LAYERS = {
    (3, 64, 224): (49284, 12321, 6216),
    (64, 64, 224): (98568, 24642, 24642),
    (64, 128, 112): (24200, 6050, 6050),
    (128, 128, 112): (36300, 36300, 12100),
    (128, 256, 56): (8748, 8748, 5832),
    (256, 256, 56): (14580, 14580, 10206),
    (256, 512, 28): (3380, 3380, 3380),
    (512, 512, 28): (6084, 6084, 6084),
    (512, 512, 14): (1296, 1296, 1296),
}
"""Channels, filters and size of a layer; its cycles by im2col, SDK and VW-SDK. The last layer occurs twice."""
TOTALS = (243_736, 114_697, 77_102)


def layer(channels: int, filters: int, size: int) -> Workload:
    """A 3x3 convolution without padding."""
    outputs = size - 2
    axes = (
        Axis("y", outputs, Kind.PIXEL),
        Axis("x", outputs, Kind.PIXEL),
        Axis("f", filters, Kind.FILTER),
        Axis("c", channels, Kind.REDUCTION),
        Axis("j", 3, Kind.REDUCTION),
        Axis("i", 3, Kind.REDUCTION),
    )
    slides = (Slide("y", "j", outputs, 3), Slide("x", "i", outputs, 3))
    return Workload("layer", axes, 1, 1, slides)


def mapped(workload: Workload, window: tuple[int, ...], word_lines: int, filters: int) -> Mapping:
    """On the one array, tile after tile."""
    form = Form(workload, window)
    rows, columns = ceil_div(form.values, word_lines), ceil_div(form.results, filters)
    alone = (LevelFactors("array", Factors()),)
    return Mapping(workload, word_lines, filters, alone, Factors(1, rows, columns, form.vectors), window=window)


def cut_freely(workload: Workload, window: tuple[int, ...]) -> Mapping:
    """Tiles as large as the array."""
    form = Form(workload, window)
    return mapped(workload, window, min(512, form.values), min(512, form.results))


def sdk(workload: Workload) -> Mapping:
    """The best square window over all channels that takes no more tiles of rows and of columns than im2col."""
    plain = cut_freely(workload, ())
    square = [window for window in windows(workload, DEVICE)[1:] if window[0] == window[1]]
    found = [cut_freely(workload, window) for window in square]
    fitting = [m for m in found if m.tiles("row") <= plain.tiles("row") and m.tiles("column") <= plain.tiles("column")]
    return min([plain, *fitting], key=cycles)


def vw_sdk(workload: Workload) -> Mapping:
    """The best rectangular window with whole channels in every row tile and whole filters in every column tile."""
    found = [cut_freely(workload, ())]
    channels = workload.reduction // 9
    for window in windows(workload, DEVICE)[1:]:
        form = Form(workload, window)
        area = form.values // channels
        if area > 512:
            continue
        lines, filters = 512 // area * area, 512 // form.outputs * form.outputs
        found.append(mapped(workload, window, min(lines, form.values), min(filters, form.results)))
    return min(found, key=cycles)


def cycles(mapping: Mapping) -> int:
    return Analytical().time(mapping, DEVICE).cycles


def ours(workload: Workload) -> int:
    problem = Problem(workload=workload, device=DEVICE, model=Analytical(), trials=1, seed=0)
    running = Exhaustive().start(problem)
    for _ in follow(running, problem):
        pass
    certificate = running.outcome().certificate
    assert certificate is not None
    assert certificate.gap == 0
    return certificate.best.femtoseconds // DEVICE.array.read.femtoseconds


@pytest.mark.parametrize("shape", LAYERS, ids=str)
def test_cycles_are_the_papers_and_ours_are_never_more(shape: tuple[int, int, int]) -> None:
    workload = layer(*shape)
    assert (cycles(cut_freely(workload, ())), cycles(sdk(workload)), cycles(vw_sdk(workload))) == LAYERS[shape]
    assert ours(workload) <= LAYERS[shape][2]


def test_totals() -> None:
    layers = [*LAYERS, (512, 512, 14)]
    assert tuple(sum(LAYERS[shape][way] for shape in layers) for way in range(3)) == TOTALS
    assert sum(ours(layer(*shape)) for shape in layers) == 68_192
