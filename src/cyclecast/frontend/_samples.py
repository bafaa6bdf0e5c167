"""Calibration samples from files: a folder of images, or arrays in an .npz file."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from lzma import LZMAError
from pathlib import Path
from struct import error as StructError
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from cyclecast.errors import ModelError, OptionError
from cyclecast.frontend._base import Inputs, Values

IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
MOST_IMAGES = 256
DAMAGED = (BadZipFile, LZMAError, StructError, TokenError, zlib.error)
UNREADABLE = (*DAMAGED, OSError, ValueError, EOFError, MemoryError, RuntimeError, OverflowError, SyntaxError)
"""Errors of NumPy and `zipfile` for an archive that is damaged, or a file that is no archive."""
REAL = "biuf"
"""Kinds of NumPy types that are numbers: booleans, integers, floats."""


def read_samples(
    path: Path, inputs: Inputs, *, mean: Sequence[float] = (0,), deviation: Sequence[float] = (1,)
) -> Values:
    """Samples for every input along a leading axis: arrays of an .npz file, by name, or images of a folder.

    Images are resized and cropped to the network's only input, and normalised per channel: (value / 255 - mean) /
    deviation. Raises `ModelError` for files that cannot be read, `OptionError` for a bad mean or deviation.
    """
    require_channels(mean, deviation)
    if path.is_dir():
        return _images(path, inputs, mean, deviation)
    return read_arrays(path)


def require_channels(mean: Sequence[float], deviation: Sequence[float]) -> None:
    """Raise `OptionError` for a mean or deviation that images cannot be normalised with."""
    for what, numbers in (("mean", mean), ("deviation", deviation)):
        if len(numbers) not in (1, 3) or not np.isfinite(numbers).all() or (what == "deviation" and 0 in numbers):
            raise OptionError(what, f"{tuple(numbers)}", "one number, or one for each of three channels", "0.5,0.5,0.5")


def read_arrays(path: Path) -> dict[str, Any]:
    """The arrays of an .npz file, by name. Raises `ModelError` if it is no such file or holds anything but numbers."""
    try:
        with path.open("rb") as file, ZipFile(file):
            arrays = {name: np.asarray(value) for name, value in np.load(file).items()}
    except UNREADABLE as error:
        raise ModelError(str(path), "it cannot be read as .npz", str(error), "numpy.savez") from error
    for name, array in arrays.items():
        if array.dtype.kind not in REAL:
            raise ModelError(f"{path}: '{name}'", f"{array.dtype}", "arrays hold real numbers", "numpy.savez")
    return arrays


def _images(folder: Path, inputs: Inputs, mean: Sequence[float], deviation: Sequence[float]) -> Values:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGES)[:MOST_IMAGES]
    if not files:
        raise ModelError(str(folder), "there are no images in it", f"images are {' '.join(IMAGES)}", "an .npz file")
    taken = {name: shape for name, (shape, _) in inputs.items() if len(shape) == 4 and {shape[1], shape[3]} & {1, 3}}
    if len(inputs) != 1 or len(taken) != 1:
        listed = ", ".join(f"{name} {shape}" for name, (shape, _) in inputs.items())
        raise ModelError(
            str(folder), "images for a network that takes none", f"its inputs are {listed}", "an .npz file"
        )
    ((name, shape),) = taken.items()
    return {name: np.stack([_image(file, shape, mean, deviation) for file in files])}


def _image(file: Path, shape: tuple[int, ...], mean: Sequence[float], deviation: Sequence[float]) -> Any:
    """One image as an input without its batch axis."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    first = shape[1] in (1, 3)
    channels, size = (shape[1], (shape[3], shape[2])) if first else (shape[3], (shape[2], shape[1]))
    try:
        with Image.open(file) as image:
            fitted = ImageOps.fit(image.convert("RGB" if channels == 3 else "L"), size)
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
        raise ModelError(
            str(file), "it cannot be read as an image", str(error).splitlines()[0], "removing it"
        ) from error
    values = np.asarray(fitted, "float32").reshape(size[1], size[0], channels) / 255
    centre, spread = (np.asarray(part, "float32") for part in (mean, deviation))
    if channels == 1:
        centre, spread = centre.mean(), spread.mean()
    scaled = (values - centre) / spread
    return (scaled.transpose(2, 0, 1) if first else scaled).astype("float32")


def random_values(
    generator: np.random.Generator, shape: tuple[int, ...], kind: Any, bounds: tuple[float, float] | None = None
) -> Any:
    """Uniform random values between two bounds, both included.

    Without bounds, floats are normally distributed, integers of up to 16 bits cover their whole range, and wider
    integers are 0 or 1, which are valid as indices and masks.
    """
    if not np.issubdtype(kind, np.integer):
        drawn = generator.normal(size=shape) if bounds is None else generator.uniform(*bounds, size=shape)
        return drawn.astype(kind)
    range_ = np.iinfo(kind)
    least, most = (range_.min, range_.max) if range_.bits <= 16 else (0, 1)
    if bounds is not None:
        least, most = max(range_.min, int(bounds[0])), min(range_.max, int(bounds[1]))
    return generator.integers(least, most, shape, kind, endpoint=True)


def as_samples(values: Any, shape: tuple[int, ...]) -> Any:
    """Stack values along a new first axis of samples; a longer batch axis is split into batches.

    `shape` is that of the input, batch axis included. Raises `ValueError` if the values have another shape.
    """
    values = np.asarray(values)
    if values.ndim == len(shape) > 0 and values.shape[1:] == shape[1:]:
        values = values[: len(values) // shape[0] * shape[0]].reshape(-1, *shape)
    elif values.shape == shape:
        values = values[None]
    if values.shape[1:] != shape or not len(values):
        raise ValueError(values.shape)
    return values
