"""Open networks that listen, as the packages of `requirements/models.txt` hold them, and a word as their input."""

from __future__ import annotations

import wave
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from zoo import Entry, Sample, exported, packaged, tone

RATE = 16000
"""Of the sound, in values a second."""


def spoken(length: int, slower: float = 1.0) -> Any:
    """The word "ready" that pipecat carries, said again and again, as `length` values from -1 to 1."""
    with wave.open(str(packaged("pipecat", "services", "aws", "nova_sonic", "ready.wav"))) as file:
        word = np.frombuffer(file.readframes(file.getnframes()), "int16")[1000:8000] / 32768.0
    moments = np.arange(0, len(word) - 1, 1 / slower)
    return np.resize(np.interp(moments, np.arange(len(word)), word), length).astype("float32")


def spoken_words(length: int) -> list[Any]:
    """As it is, and slower, which is deeper."""
    return [spoken(length), spoken(length, 1.25)]


def mel(sound: Any, window: int, hop: int, bands: int) -> Any:
    """The power in each band of the mel scale: frames x bands."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(sound, window // 2, mode="reflect"), window)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(window + 1)[:-1])) ** 2
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    pitch = np.linspace(0, RATE / 2, window // 2 + 1)[:, None]
    rising, falling = (pitch - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - pitch) / np.diff(edges)[1:]
    return power @ (np.clip(np.minimum(rising, falling), 0, None) * 2 / (edges[2:] - edges[:-2]))


def decibels(power: Any) -> Any:
    """Below the loudest, 80 at most."""
    return np.maximum(10 * np.log10(np.maximum(power, 1e-10) / power.max()), -80)


def whisper_features(sound: Any) -> Any:
    """Of Whisper: 1 x bands x frames."""
    logarithms = np.log10(np.maximum(mel(sound, 400, 160, 80)[:-1], 1e-10))
    return ((np.maximum(logarithms, logarithms.max() - 8) + 4) / 4).T[None].astype("float32")


# --- inputs -----------------------------------------------------------------------------------------------------------


def silero_samples() -> list[Sample]:
    """Blocks of 512 values behind the last 64 of the block before, and a state that has heard nothing."""
    sound = spoken(8 * 512 + 64)
    state = np.zeros((2, 1, 128), "float32")
    return [{"input": sound[None, at : at + 576], "state": state} for at in range(0, 8 * 512, 512)]


def aecmos_samples() -> list[Sample]:
    """Loudspeaker, microphone and what is left of its echo."""
    near, far = spoken_words(2 * RATE)
    sounds = ((far, near + 0.3 * far, near), (far, near + 0.3 * far, near + 0.1 * far))
    start = np.zeros((4, 1, 64), "float32")
    return [
        {"input": np.stack([(decibels(mel(one, 512, 256, 160)) + 40) / 40 for one in three])[None].astype("float32")}
        | {"h0": start}
        for three in sounds
    ]


def speaker_samples() -> list[Sample]:
    """Mel spectra of speech that is brought to 30 dB below full scale."""
    sounds = [sound * (10**-1.5 / np.sqrt(np.mean(sound**2))) for sound in spoken_words(2 * RATE)]
    return [{"mels": mel(sound, 400, 160, 40)[None, :160].astype("float32")} for sound in sounds]


def plcmos_samples() -> list[Sample]:
    """Logarithms of a spectrum; the rater is drawn."""
    rater = np.random.default_rng(0).normal(size=(1, 64)).astype("float32")
    samples = []
    for sound in spoken_words(2 * RATE):
        frames = np.lib.stride_tricks.sliding_window_view(sound, 512)[::256] * np.hamming(513)[:-1]
        spectrum = np.log(np.maximum(np.abs(np.fft.rfft(frames)) ** 2, 1e-9)) / 20
        samples.append({"degraded_audio": spectrum[None, None].astype("float32"), "rater_embed": rater})
    return samples


def crepe_samples() -> list[Sample]:
    """64 ms of a sung tone, of no mean and of one variance."""
    samples = []
    for sample in tone("x", (1, 8 * 1024), RATE):
        frames = sample["x"].reshape(8, 1024)
        frames = (frames - frames.mean(1, keepdims=True)) / frames.std(1, keepdims=True)
        samples += [{"x": frame[None].astype("float32")} for frame in frames]
    return samples


# --- networks ---------------------------------------------------------------------------------------------------------


def speaker_encoder(folder: Path) -> Path:
    """Resemblyzer's: three LSTMs and a layer."""
    import torch

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(40, 256, 3, batch_first=True)
            self.linear = torch.nn.Linear(256, 256)

        def forward(self, mels: Any) -> Any:
            _, (hidden, _) = self.lstm(mels)
            raw = torch.relu(self.linear(hidden[-1]))
            return raw / torch.norm(raw, dim=1, keepdim=True)

    module = Encoder()
    weights = torch.load(packaged("resemblyzer", "pretrained.pt"), weights_only=True, map_location="cpu")
    module.load_state_dict(weights["model_state"], strict=False)
    return exported(module, {"mels": torch.zeros(1, 160, 40)}, folder / "speaker_encoder.pt2")


def crepe_tiny(folder: Path) -> Path:
    """The pitch of a tone: six convolutions along time, the small form of torchcrepe."""
    import torch
    from torch.nn import functional

    class Crepe(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for number, (inputs, outputs) in enumerate(pairwise((1, 128, 16, 16, 16, 32, 64)), 1):
                window, stride = ((512, 1), (4, 1)) if number == 1 else ((64, 1), (1, 1))
                self.add_module(f"conv{number}", torch.nn.Conv2d(inputs, outputs, window, stride))
                self.add_module(f"conv{number}_BN", torch.nn.BatchNorm2d(outputs, eps=0.001))
            self.classifier = torch.nn.Linear(256, 360)

        def forward(self, x: Any) -> Any:
            x = x[:, None, :, None]
            for number in range(1, 7):
                x = functional.pad(x, (0, 0, 254, 254) if number == 1 else (0, 0, 31, 32))
                x = getattr(self, f"conv{number}_BN")(torch.relu(getattr(self, f"conv{number}")(x)))
                x = functional.max_pool2d(x, (2, 1), (2, 1))
            return torch.sigmoid(self.classifier(x.permute(0, 2, 1, 3).reshape(-1, 256)))

    module = Crepe()
    module.load_state_dict(torch.load(packaged("torchcrepe", "assets", "tiny.pth"), weights_only=True))
    return exported(module, {"x": torch.zeros(1, 1024)}, folder / "crepe_tiny.pt2")


def held(*parts: str) -> Callable[[Path], Path]:
    """A file of a package, as it is."""
    return lambda _: packaged(*parts)


def found() -> list[Entry]:
    """All of them."""
    return [
        Entry("silero_vad", held("silero_vad", "data", "silero_vad_openvino_16k.onnx"), silero_samples),
        Entry(
            "aecmos", held("speechmos", "aecmos_models", "Run_1663829550_Stage_0.onnx"), aecmos_samples,
            {"input": (1, 3, 126, 160)},
        ),
        Entry(
            "plcmos", held("speechmos", "plcmos_models", "plcmos_v2.onnx"), plcmos_samples,
            {"degraded_audio": (1, 1, 124, 257), "rater_embed": (1, 64)},
        ),
        Entry(
            "dnsmos", held("speechmos", "dnsmos_models", "sig_bak_ovr.onnx"),
            lambda: [{"input_1": sound[None]} for sound in spoken_words(144160)], {"input_1": (1, 144160)}, slow=True,
        ),
        Entry("crepe_tiny", crepe_tiny, crepe_samples),
        Entry("speaker_encoder", speaker_encoder, speaker_samples),
        Entry(
            "smart_turn_int8", held("pipecat", "audio", "turn", "smart_turn", "data", "smart-turn-v3.2-cpu.onnx"),
            lambda: [{"input_features": whisper_features(sound)} for sound in spoken_words(8 * RATE)],
            {"input_features": (1, 80, 800)},
        ),
    ]  # fmt: skip
