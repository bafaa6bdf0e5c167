"""Networks of random weights, as PyTorch's exporter of today writes them to ONNX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from zoo import WORDS, Entry, image_of, photographs, torch_without_vision_operators, words
from zoo_speech import RATE, spoken_words, whisper_features

SMALL = {"hidden_size": 256, "num_hidden_layers": 4, "intermediate_size": 688, "vocab_size": 30522}


def written_as_onnx(module: Any, inputs: dict[str, Any], path: Path) -> Path:
    import torch

    torch.onnx.export(module.eval(), (), str(path), kwargs=inputs, dynamo=True, external_data=False, verbose=False)
    return path


def llama(folder: Path) -> Path:
    """Rotary positions, eight heads of queries on two of keys, gated layers, normalisation by the root mean square."""
    torch = torch_without_vision_operators()
    import transformers

    torch.manual_seed(0)
    heads = {"num_attention_heads": 8, "num_key_value_heads": 2, "max_position_embeddings": 512}
    module = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL, **heads, use_cache=False))
    return written_as_onnx(module, {"input_ids": torch.zeros(1, 64, dtype=torch.int64)}, folder / "llama.onnx")


def distilbert(folder: Path) -> Path:
    torch = torch_without_vision_operators()
    import transformers

    torch.manual_seed(0)
    module = transformers.DistilBertModel(
        transformers.DistilBertConfig(dim=256, n_layers=4, n_heads=4, hidden_dim=1024)
    )
    ids = torch.zeros(1, 128, dtype=torch.int64)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return written_as_onnx(module, inputs, folder / "distilbert.onnx")


def whisper(folder: Path) -> Path:
    """The encoder of Whisper tiny, for four seconds."""
    torch = torch_without_vision_operators()
    import transformers
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch.manual_seed(0)
    sizes = {"d_model": 384, "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536}
    module = WhisperEncoder(transformers.WhisperConfig(**sizes, max_source_positions=200))
    return written_as_onnx(module, {"input_features": torch.zeros(1, 80, 400)}, folder / "whisper.onnx")


def image_network(name: str, **options: Any) -> Callable[[Path], Path]:
    """Of timm; its normalisations know the statistics of the photographs."""

    def source(folder: Path) -> Path:
        torch = torch_without_vision_operators()
        import timm

        torch.manual_seed(0)
        module = timm.create_model(name, pretrained=False, **options)
        images = torch.from_numpy(np.concatenate([sample["x"] for sample in photographs("x", count=8)]))
        with torch.no_grad():
            for part in module.modules():
                if isinstance(part, torch.nn.BatchNorm2d):
                    part.momentum = None  # the mean over all
            module.train()(images)
        return written_as_onnx(module, {"x": images[:1]}, folder / f"{name}.onnx")

    return source


def found() -> list[Entry]:
    """All of them."""
    return [
        Entry("llama", llama, words(64, *WORDS[:1])),
        Entry("distilbert", distilbert, words(128, *WORDS)),
        Entry(
            "whisper_encoder", whisper,
            lambda: [{"input_features": whisper_features(sound)} for sound in spoken_words(4 * RATE)],
        ),
        Entry("convnext_atto", image_network("convnext_atto"), image_of("x"), slow=True),
        Entry("mobilevit_xxs", image_network("mobilevit_xxs"), image_of("x"), slow=True),
        Entry(
            "swin_small", image_network("swin_tiny_patch4_window7_224", embed_dim=48, depths=(2, 2, 2, 2)),
            image_of("x"), slow=True,
        ),
    ]  # fmt: skip
