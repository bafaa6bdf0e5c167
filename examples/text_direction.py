"""The trained network of the examples, and a picture for it.

PaddleOCR's text direction classifier (MobileNetV3-small, 16 million multiply-accumulates) tells a line of text from one
that stands on its head. The PyPI package rapidocr-onnxruntime ships it; only its model file is used.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (1, 3, 48, 192)
INPUT = "x"


def model_file() -> Path:
    """Where the ONNX file is installed."""
    package = find_spec("rapidocr_onnxruntime")
    if package is None or package.origin is None:
        raise SystemExit("the example network is missing; `make setup` installs it")
    return Path(package.origin).parent / "models" / "ch_ppocr_mobile_v2.0_cls_infer.onnx"


def line_of_text(text: str = "cyclecast 0.1", upside_down: bool = False) -> Any:
    """A line of text as the network wants it: 1x3x48x192, values from -1 to 1."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (SHAPE[3], SHAPE[2]), "white")
    ImageDraw.Draw(image).text((8, 6), text, fill="black", font=ImageFont.load_default(size=28))
    if upside_down:
        image = image.rotate(180)
    return ((np.asarray(image, dtype="float32") / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None]
