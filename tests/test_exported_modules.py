"""Modules of PyTorch as its exporter writes them, for every version of ONNX that it knows, and as `.pt2`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cyclecast.device import Device
from cyclecast.frontend import load
from cyclecast.workflow.building import compile
from cyclecast.workflow.tuning import estimate

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

pytestmark = [pytest.mark.tvm, pytest.mark.filterwarnings("ignore")]

nn = torch.nn


class Attention(nn.Module):  # type: ignore[misc, name-defined] # PyTorch may be absent
    """Causal self-attention with two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(16, 48)

    def forward(self, tokens: Any) -> Any:
        query, key, value = self.project(tokens).reshape(1, 6, 3, 2, 8).permute(2, 0, 3, 1, 4)
        return nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)


IMAGE, TOKENS, STEPS = (1, 4, 6, 7), (1, 6, 16), (6, 1, 8)
MODULES: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "group_norm": (lambda: nn.Sequential(nn.Conv2d(4, 8, 3), nn.GroupNorm(2, 8)), IMAGE),
    "layer_norm": (lambda: nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16)), TOKENS),
    "rms_norm": (lambda: nn.RMSNorm(16), TOKENS),
    "instance_norm": (lambda: nn.InstanceNorm2d(4, affine=True), IMAGE),
    "attention": (Attention, TOKENS),
    "encoder": (lambda: nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), TOKENS),
    "gelu": (lambda: nn.Sequential(nn.Linear(16, 8), nn.GELU()), TOKENS),
    "mish": (nn.Mish, TOKENS),
    "hardswish": (nn.Hardswish, TOKENS),
    "softplus": (nn.Softplus, TOKENS),
    "lstm": (lambda: nn.LSTM(8, 5, bidirectional=True), STEPS),
    "gru": (lambda: nn.GRU(8, 5), STEPS),
    "rnn": (lambda: nn.RNN(8, 5), STEPS),
    "bilinear": (lambda: nn.Upsample(scale_factor=1.5, mode="bilinear"), IMAGE),
    "bicubic": (lambda: nn.Upsample(size=(7, 9), mode="bicubic", align_corners=True), IMAGE),
    "adaptive_pool": (lambda: nn.AdaptiveAvgPool2d(3), IMAGE),
    "average_pool": (lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), IMAGE),
    "maximum_pool": (lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), IMAGE),
    "transposed": (lambda: nn.ConvTranspose2d(4, 3, 3, stride=2), IMAGE),
    "pixel_shuffle": (lambda: nn.PixelShuffle(2), IMAGE),
}
OPSETS = range(17, 25)
HERE = {("attention", 23), ("group_norm", 21), ("bicubic", 19), ("lstm", 22)}
"""Of all, what `make test` runs."""


@pytest.mark.parametrize(
    ("name", "opset"),
    [
        pytest.param(name, opset, marks=() if (name, opset) in HERE else pytest.mark.long)
        for name in MODULES
        for opset in (*OPSETS, None)
    ],
)
def test_the_values_are_those_of_the_module(name: str, opset: int | None, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, shape = MODULES[name]
    module, data = make().eval(), torch.randn(*shape)
    path = exported(module, data, opset, tmp_path)
    network = load(path, activation_bits=16, weight_bits=16)
    found, *_ = compile(estimate(network, Device.load("isaac16")))(data.numpy())
    with torch.inference_mode():
        result = module(data)
    expected = (result[0] if isinstance(result, tuple) else result).numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-3 * max(1.0, float(np.abs(expected).max())))


def exported(module: Any, data: Any, opset: int | None, folder: Path) -> Path:
    """The file: ONNX of a version, or the program itself."""
    if opset is None:
        torch.export.save(torch.export.export(module, (data,)), folder / "module.pt2")
        return folder / "module.pt2"
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            path = folder / "module.onnx"
            torch.onnx.export(
                module, (data,), path, opset_version=opset, dynamo=True, verbose=False, external_data=False
            )
    finally:
        logging.disable(level)
    return path
