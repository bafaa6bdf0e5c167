"""The verb verify, and the lines of its result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from cyclecast.cli._common import (
    NETWORK,
    ConstantOption,
    FolderArgument,
    FrontEndOption,
    JsonOption,
    ModelArgument,
    ShapeOption,
    app,
    bound_model,
    console,
    print_json,
    shapes_of,
)
from cyclecast.cli._samples import (
    IMAGE_DEVIATION,
    IMAGE_MEAN,
    ActivationsOption,
    CalibrateOption,
    DeviationOption,
    MeanOption,
    QuantizationOptions,
    WeightsOption,
)
from cyclecast.terminal import errors, printable

DEPARTED = 3
"""Exit code if values depart from the reference."""


@app.command(rich_help_panel=NETWORK)
def verify(
    folder: FolderArgument,
    model: ModelArgument,
    inputs: Annotated[
        Path | None,
        typer.Option(
            "--inputs",
            help="An .npz file with an array per input: one sample, or several along a leading axis; an array "
            "'labels' with the right classes is optional. Default: random values.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the random inputs.")] = 0,
    shape: ShapeOption = None,
    constant: ConstantOption = None,
    front_end: FrontEndOption = None,
    least: Annotated[
        float | None,
        typer.Option("--min-cosine", min=-1, max=1, help=f"Exit with {DEPARTED} if the cosine of any output is below."),
    ] = None,
    on_device: Annotated[
        bool, typer.Option("--device/--no-device", help="If the device's converters are lossy, simulate it, too.")
    ] = True,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers",
            help="Compare every operator alone, and name the first whose error exceeds that of its quantisation. The "
            "options below must be those of tune.",
        ),
    ] = False,
    calibrate: CalibrateOption = None,
    activations: ActivationsOption = None,
    weights: WeightsOption = "symmetric",
    image_mean: MeanOption = IMAGE_MEAN,
    image_deviation: DeviationOption = IMAGE_DEVIATION,
    as_json: JsonOption = False,
) -> None:
    """Compare the compiled program, run in a child process, with the original network in its own runtime."""
    from cyclecast.device import load_doubted
    from cyclecast.report import layers_table, status
    from cyclecast.workflow.verification import verify as compare

    source, shapes = bound_model(model, constant), shapes_of(shape)
    samples = QuantizationOptions(calibrate, activations, weights, image_mean, image_deviation)
    quantization = samples.quantization(source, load_doubted(folder / "device.yaml")[0], shapes) if layers else None
    options: dict[str, Any] = {"inputs": inputs, "seed": seed, "shapes": shapes, "on_device": on_device}
    with status("running the network", shown=not as_json):
        result = compare(folder / "module.so", source, layers=quantization, **options)
    departed = _departed(result, least)
    if as_json:
        print_json(result | {"min_cosine": least, "passed": not departed})
    else:
        for line in verification_lines(result):
            console().print(line, soft_wrap=True)
        if result["layers"]:
            console().print(layers_table(result["layers"]))
    for line in () if as_json else departed:
        errors().print(line, soft_wrap=True)
    if departed:
        raise typer.Exit(DEPARTED)


def verification_lines(result: dict[str, Any] | None) -> Iterator[str]:
    """Lines for the result of `verification.verify`; none for None."""
    if result is None:
        return
    if "error" in result:
        yield f"not compared with the network: {result['error']}"
        return
    several = f"{result['samples']:,} samples of " if result["samples"] > 1 else ""
    yield from _lines(result, f"{result['runtime']} on {several}{result['inputs']}")
    if result["not_finite"]:
        yield f"{result['not_finite']:,} values of the inputs are NaN or infinite: kernels clamp these"
    if result["loss"]:
        yield f"warning: {result['loss']}"
    if result["device"] and result["device"]["error"]:
        yield f"values of {result['device']['name']}: not simulated: {result['device']['error']}"
    elif result["device"]:
        yield from _lines(result["device"], f"values of {result['device']['name']}")


def _lines(part: dict[str, Any], text: str) -> Iterator[str]:
    for each in part["outputs"]:
        yield (
            f"{printable(each['name'])}: cosine {each['cosine']:.6f}, maximum error {each['maximum_error']:.4g} "
            f"of {each['largest']:.4g}, {text}{_left_out(each)}"
        )
    if part["top1"]:
        found = part["top1"]
        yield (
            f"top-1: {found['right']:,} of {found['labels']:,} labels are right, {found['right_in_reference']:,} in "
            f"the reference; {found['agree']:,} agree, {text}"
        )


def _left_out(output: dict[str, Any]) -> str:
    """Text about values of an output that were not compared."""
    ours, theirs = output["not_finite"], output["not_finite_in_reference"]
    return f"; NaN or infinite and left out: {ours:,}, in the reference {theirs:,}" if ours or theirs else ""


def _departed(result: dict[str, Any], least: float | None) -> list[str]:
    """A line per output that departs by more than allowed, that of the device included, and one for an operator."""
    first = result["layers"]["first"] if result["layers"] else None
    operator = [f"departs: {printable(first['name'])}: more than quantisation explains"] if first else []
    return operator + ([] if least is None else _below(result, least))


def _below(result: dict[str, Any], least: float) -> list[str]:
    parts = [(result["outputs"], "module.so"), *([(result["device"]["outputs"], "device")] if result["device"] else [])]
    return [
        f"departs: {what}: {printable(each['name'])}: cosine {each['cosine']:.6f}; at least {least:g} was asked for"
        for outputs, what in parts
        for each in outputs
        if not each["cosine"] >= least
    ]
