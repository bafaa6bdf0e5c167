"""Verbs about networks: tune, estimate, sqnr, verify."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cyclecast.cli._common import (
    FolderArgument,
    ForceOption,
    JsonOption,
    app,
    console,
    out_option,
    print_json,
    read_device,
    read_json,
    require_folder,
)
from cyclecast.cli._door import StoppedError
from cyclecast.device import Device
from cyclecast.errors import OptionError
from cyclecast.folders import output, require_replaceable
from cyclecast.printable import json_text, printable, short

if TYPE_CHECKING:
    from cyclecast.frontend import Quantization
    from cyclecast.mapping import Mapping
    from cyclecast.progress import Progress
    from cyclecast.workload import Network

STRATEGIES = (
    "exhaustive: all mappings, by branch and bound on arrays of numbers, without MetaSchedule. "
    "evolution: MetaSchedule's EvolutionarySearch with our sketch, annotation and mutation rules, and the timing model "
    "as its cost model. "
    "random: mappings drawn independently. "
    "pareto: all that no other beats in time, energy and arrays at once."
)
WRITTEN = (
    "records.db, module.so, network.json, program.json, mappings.json, traces/, device.yaml, result.json, "
    "cyclecast.json"
)
IMAGE_MEAN, IMAGE_DEVIATION = "0.485,0.456,0.406", "0.229,0.224,0.225"
"""Of red, green and blue over ImageNet: what most image networks are trained with."""

ModelArgument = Annotated[
    Path, typer.Argument(help="The network: .onnx, .pt2 (torch.export) or .tflite.", show_default=False)
]
DeviceOption = Annotated[str, typer.Option("--device", help="A library name, or a path to a device file.")]
TimingOption = Annotated[
    str, typer.Option("--timing", help="The timing model: poster, analytical, event, or a plug-in's.")
]
ShapeOption = Annotated[
    list[str] | None, typer.Option("--shape", help="Fix an input's shape: name=1,3,224,224. Repeatable.")
]
CalibrateOption = Annotated[
    Path | None,
    typer.Option("--calibrate", help="Static quantisation from samples: a folder of images, or an .npz file."),
]
ActivationsOption = Annotated[
    str | None,
    typer.Option("--activations", help="affine (zero points; if sums of the device are exact) or symmetric."),
]
WeightsOption = Annotated[str, typer.Option("--weights", help="symmetric or affine, a scale for each output channel.")]
MeanOption = Annotated[str, typer.Option("--image-mean", help="Of the channels of images, from 0 to 1.")]
DeviationOption = Annotated[str, typer.Option("--image-deviation", help="Images are (value / 255 - mean) / deviation.")]


@app.command()
def tune(
    model: ModelArgument,
    out: Annotated[Path, out_option("--out", "The folder for records, program, mappings and traces.")],
    device: DeviceOption = "isaac",
    timing: TimingOption = "analytical",
    strategy: Annotated[str, typer.Option("--strategy", help=STRATEGIES)] = "exhaustive",
    trials: Annotated[
        int, typer.Option("--trials", min=1, help="Mappings of each workload that evolution and random may time.")
    ] = 64,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same result.")] = 0,
    seconds: Annotated[
        float, typer.Option("--seconds", help="The time that the search of one workload may take; 0: until it ends.")
    ] = 20.0,
    shape: ShapeOption = None,
    calibrate: CalibrateOption = None,
    activations: ActivationsOption = None,
    weights: WeightsOption = "symmetric",
    image_mean: MeanOption = IMAGE_MEAN,
    image_deviation: DeviationOption = IMAGE_DEVIATION,
    explain: Annotated[
        bool, typer.Option("--explain-search", help="Say how large the space is, and how good the answer is at least.")
    ] = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Search schedules for a network on a device, and build the program.

    A second run with the same folder reuses the searches that it finds finished there. Ctrl-C keeps what was found.
    """
    described, doubted = read_device(device, as_json)
    require_folder(out)
    samples = _Samples(calibrate, activations, weights, image_mean, image_deviation)
    network = _load(model, described, shape, samples)
    from cyclecast import building, tuning
    from cyclecast.report import progress_bar, status, tuned_info

    require_replaceable(out, [*building.names_of(network), "module.so", "result.json"], force=force)
    with progress_bar(len(network.members), shown=not as_json) as show, _kept(network, out, show) as progress:
        tuned = tuning.tune(
            network,
            described,
            trials=trials,
            timing=timing,
            strategy=strategy,
            seed=seed,
            seconds=_limit(seconds),
            database=out / "records.db",
            progress=progress,
        )
    settings = _settings(timing, strategy, trials, seed, seconds)
    info = tuned_info(tuned) | {"out": str(out), "settings": settings, "doubts": doubted}
    with status("lowering and building", shown=not as_json), output(out, "tune", force=force) as place:
        building.write(tuned, place)
        building.build(tuned).save(place / "module.so")
        (place / "result.json").write_text(json_text(info), encoding="utf-8")
    building.load(out)  # a folder that nothing can read is no result
    _show(info, as_json, explain)
    if not as_json:
        console().print(f"wrote {out}/: {WRITTEN}", soft_wrap=True)


@app.command()
def estimate(
    model: ModelArgument,
    device: DeviceOption = "isaac",
    timing: TimingOption = "analytical",
    mapping: Annotated[
        Path | None,
        typer.Option("--mapping", help="Mappings by kernel, in the form of mappings.json.", show_default=False),
    ] = None,
    shape: ShapeOption = None,
    calibrate: CalibrateOption = None,
    activations: ActivationsOption = None,
    weights: WeightsOption = "symmetric",
    image_mean: MeanOption = IMAGE_MEAN,
    image_deviation: DeviationOption = IMAGE_DEVIATION,
    as_json: JsonOption = False,
) -> None:
    """Time a network with the default mapping of every workload, or with mappings of a file, without any search."""
    described, doubted = read_device(device, as_json)
    samples = _Samples(calibrate, activations, weights, image_mean, image_deviation)
    network = _load(model, described, shape, samples)
    from cyclecast import tuning
    from cyclecast.report import tuned_info

    mappings = _mappings(mapping) if mapping else None
    estimated = tuning.estimate(network, described, timing=timing, mappings=mappings)
    _show(tuned_info(estimated) | {"doubts": doubted}, as_json)


def _mappings(path: Path) -> dict[str, Mapping]:
    from cyclecast.mapping import mappings_from_json

    return mappings_from_json(read_json(f"--mapping {path}", path))


@app.command()
def sqnr(
    model: ModelArgument,
    calibrate: Annotated[Path, typer.Option("--calibrate", help="Samples: a folder of images, or an .npz file.")],
    device: DeviceOption = "isaac",
    shape: ShapeOption = None,
    activations: ActivationsOption = None,
    weights: WeightsOption = "symmetric",
    image_mean: MeanOption = IMAGE_MEAN,
    image_deviation: DeviationOption = IMAGE_DEVIATION,
    worst: Annotated[int, typer.Option("--worst", min=1, help="How many layers to list.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Say what quantising its operands does to each layer: signal over quantisation noise, the worst layers first."""
    described, doubted = read_device(device, as_json)
    samples = _Samples(calibrate, activations, weights, image_mean, image_deviation)
    from cyclecast.frontend import layer_errors
    from cyclecast.report import sqnr_info, sqnr_table

    info = sqnr_info(layer_errors(model, samples.quantization(model, described, shape), shapes=_shapes(shape)))
    if as_json:
        print_json(info | {"doubts": doubted})
    else:
        console().print(sqnr_table(info, worst))


@app.command()
def verify(
    folder: FolderArgument,
    model: ModelArgument,
    inputs: Annotated[
        Path | None, typer.Option("--inputs", help="An .npz file with an array for each input; else random values.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="For the random inputs.")] = 0,
    shape: ShapeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the compiled program in a process of its own and compare it with the original network in its own runtime."""
    from cyclecast.verification import verify as compare

    result = compare(folder / "module.so", model, inputs=inputs, seed=seed, shapes=_shapes(shape))
    if as_json:
        print_json(result)
        return
    for each in result["outputs"]:
        console().print(
            f"{printable(each['name'])}: cosine {each['cosine']:.6f}, maximum error {each['maximum_error']:.4g} "
            f"of {each['largest']:.4g}, {result['runtime']} on {result['inputs']}{_left_out(each)}"
        )
    if result["not_finite"]:
        console().print(f"{result['not_finite']:,} values of the inputs are NaN or infinite: kernels clamp these")


def _left_out(output: dict[str, Any]) -> str:
    """Text on values of an output that were not compared."""
    ours, theirs = output["not_finite"], output["not_finite_in_reference"]
    return f"; NaN or infinite and left out: {ours:,}, in the reference {theirs:,}" if ours or theirs else ""


@dataclass(frozen=True)
class _Samples:
    """What the options say about quantisation."""

    path: Path | None
    activations: str | None
    weights: str
    mean: str
    deviation: str

    def quantization(self, model: Path, device: Device, shape: Sequence[str] | None) -> Quantization:
        from cyclecast.frontend import Quantization, activations_of, bits_of, input_shapes, read_samples

        bits = bits_of(device)
        schemes: Any = (activations_of(device, self.activations), self.weights)  # which are checked there
        if self.path is None:
            return Quantization(*bits, schemes[0], schemes[1])
        centre, spread = (_channels(*option) for option in (("mean", self.mean), ("deviation", self.deviation)))
        inputs = input_shapes(model, _shapes(shape))
        samples = read_samples(self.path, inputs, mean=centre, deviation=spread)
        return Quantization(*bits, schemes[0], schemes[1], samples)


def _load(model: Path, device: Device, shape: Sequence[str] | None, samples: _Samples) -> Network:
    from cyclecast.frontend import load_quantised

    return load_quantised(model, samples.quantization(model, device, shape), shapes=_shapes(shape))


def _channels(what: str, numbers: str) -> tuple[float, ...]:
    """One number for each channel of an image."""
    try:
        return tuple(float(number) for number in numbers.split(","))
    except ValueError:
        option = f"--image-{what}"
        raise OptionError(option, f"'{short(numbers)}'", "it must be N,N,N", f"{option} {IMAGE_MEAN}") from None


def _shapes(options: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """The shapes that `--shape name=1,3,224,224` options mean."""
    shapes = {}
    for option in options or ():
        name, _, numbers = option.rpartition("=")
        try:
            shapes[name] = tuple(int(number) for number in numbers.split(","))
        except ValueError:
            shapes[name] = ()
        if not name or not shapes[name] or min(shapes[name]) < 1:
            raise OptionError("--shape", f"'{short(option)}'", "it must be NAME=N,N,...", "--shape input=1,3,224,224")
    return shapes


def _settings(timing: str, strategy: str, trials: int, seed: int, seconds: float) -> dict[str, Any]:
    return {"timing": timing, "strategy": strategy, "trials": trials, "seed": seed, "seconds": seconds}


def _limit(seconds: float) -> float | None:
    """None where a search may take as long as it takes."""
    if not seconds >= 0:
        raise OptionError("--seconds", f"{seconds:g}", "it must be 0 or more", "--seconds 20")
    return seconds or None


@contextmanager
def _kept(network: Network, out: Path, show: Callable[[Progress], None]) -> Iterator[Callable[[Progress], None]]:
    """Pass progress on; on Ctrl-C, say what is kept: searches that are finished, and the best of the one at work."""
    told: deque[Progress] = deque(maxlen=1)

    def follow(progress: Progress) -> None:
        told.append(progress)
        show(progress)

    try:
        yield follow
    except KeyboardInterrupt as stop:
        done = told[0].position + told[0].done if told else 0
        best = f"; {told[0].text}" if told and not told[0].done else ""
        raise StoppedError(
            f"stopped: {done} of {len(network.members)} workloads are finished, and the next run with --out {out} "
            f"reuses them{best}, in {out / 'records.db'}"
        ) from stop


def _show(info: dict[str, Any], as_json: bool, explain: bool = False) -> None:
    from cyclecast.report import search_table, tuned_table

    if as_json:
        print_json(info)
    else:
        console().print(tuned_table(info))
        if explain:
            console().print(search_table(info))
