"""Static."""

from typing import Any


def calibrate(model: Any, source: str, quantization: Any) -> None:
    raise NotImplementedError
