"""Verbs about code for the device: compile, vectors, trace, replay."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cyclecast.cli._common import (
    LOOK,
    NETWORK,
    FolderArgument,
    ForceOption,
    JsonOption,
    app,
    console,
    out_option,
    print_json,
    require_folder,
    tell_doubts,
)
from cyclecast.errors import OptionError
from cyclecast.storage.folders import output
from cyclecast.units import Size

InputsOption = Annotated[
    Path | None, typer.Option("--inputs", help="An .npz file with an array per input; default: random values.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of the random inputs.")]


@app.command("compile", rich_help_panel=NETWORK)
def compile_network(
    folder: FolderArgument,
    out: Annotated[Path, out_option("--out", "The folder for the sources, or for module.so.")],
    target: Annotated[
        Literal["c", "llvm"], typer.Option("--target", help="c: sources with drivers; llvm: module.so.")
    ] = "c",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the scheduled network as readable C with a behaviour model of the device, or as a program for this host."""
    from cyclecast.mapping import network_loss
    from cyclecast.report import status
    from cyclecast.workflow import building

    with status("lowering and writing", shown=not as_json):
        scheduled = building.load(folder)
        require_folder(out)
        if target == "llvm":
            with output(out, "compile llvm", force=force) as place:
                building.compile(scheduled).save(place / "module.so")
            info: dict[str, Any] = {"out": str(out), "files": ["module.so"]}
        else:
            made = building.generate(scheduled, out, force=force)
            tensors = {"inputs": made.inputs, "outputs": made.outputs}
            described = {name: [asdict(tensor) for tensor in listed] for name, listed in tensors.items()}
            sizes = {"workspace_bytes": made.workspace, "weight_bytes": made.weights}
            info = {"out": str(out), "files": list(made.files), **described, **sizes}
    loss = str(network_loss(scheduled.network, scheduled.mappings, scheduled.device) or "")
    if loss and not as_json:
        console().print(f"warning: {loss}", style="bold", soft_wrap=True)
    doubted = tell_doubts(scheduled.doubts, as_json)
    if as_json:
        print_json(info | {"loss": loss, "doubts": doubted})
    elif target == "llvm":
        console().print(f"wrote {out}/module.so", soft_wrap=True)
    else:
        kernels = sum(name.startswith("kernel_") for name in made.files)
        console().print(
            f"wrote {out}/: {len(made.files)} files, {kernels} kernels, {made.weights:,} bytes of weights, "
            f"{made.workspace:,} bytes of workspace; {out}/README.md says how to build and run them",
            soft_wrap=True,
        )


@app.command(rich_help_panel=LOOK)
def vectors(
    folder: FolderArgument,
    workload: Annotated[str, typer.Option("--workload", help="A workload of the network, or its kernel.")],
    out: Annotated[Path, out_option("--out", "The folder for manifest, .npz and $readmemh files.")],
    arrays: Annotated[int, typer.Option("--arrays", min=1, help="Number of arrays, from the first on.")] = 4,
    products: Annotated[int, typer.Option("--products", min=1, help="Number of products per array.")] = 16,
    inputs: InputsOption = None,
    seed: SeedOption = 0,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write golden vectors of single arrays: cells, input steps, column sums, ADC codes, partial sums, outputs."""
    from cyclecast.report import status
    from cyclecast.workflow import building, capture

    with status("running the network", shown=not as_json):
        scheduled = building.load(folder)
        manifest = capture.golden_vectors(
            scheduled,
            workload,
            out,
            arrays=arrays,
            products=products,
            inputs=inputs,
            seed=seed,
            force=force,
        )
    doubted = tell_doubts(scheduled.doubts, as_json)
    if as_json:
        print_json({"out": str(out), "manifest": manifest, "doubts": doubted})
        return
    shapes = manifest["arrays"][0]["files"]
    console().print(
        f"wrote {out}/: {len(manifest['arrays'])} arrays of {manifest['workload']}, "
        f"{shapes['inputs']['shape'][0]} products of {shapes['inputs']['shape'][1]} values each; "
        f"manifest.json, vectors.npz, array_*/",
        soft_wrap=True,
    )


@app.command(rich_help_panel=LOOK)
def trace(
    folder: FolderArgument,
    out: Annotated[Path, out_option("--out", "The trace: .jsonl for lines of JSON, else binary.")],
    workload: Annotated[str, typer.Option("--workload", help="One workload, or its kernel; default: all.")] = "",
    inputs: InputsOption = None,
    seed: SeedOption = 0,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the driver calls of one run of the network, with payloads."""
    from cyclecast.report import status
    from cyclecast.workflow import building, capture

    with status("running the network", shown=not as_json):
        scheduled = building.load(folder)
        traced = capture.write_trace(scheduled, out, workload=workload, inputs=inputs, seed=seed, force=force)
    doubted = tell_doubts(scheduled.doubts, as_json)
    if as_json:
        counted = {"calls": traced.calls, "counters": asdict(traced.counters)}
        print_json({"out": str(out), **counted, "doubts": doubted})
        return
    counters = traced.counters
    console().print(
        f"wrote {out}: {traced.calls:,} calls, {counters.programs:,} arrays programmed, {counters.products:,} products",
        soft_wrap=True,
    )


@app.command(rich_help_panel=LOOK)
def replay(
    path: Annotated[Path, typer.Argument(metavar="TRACE", help="A file written by trace.", show_default=False)],
    fast: Annotated[bool, typer.Option("--fast", help="Skip the bit level where converters are lossless.")] = False,
    memory: Annotated[str, typer.Option(help="Memory limit of the trace, its device included.")] = "1 GiB",
    as_json: JsonOption = False,
) -> None:
    """Execute a trace on the behaviour model in C, and compare sums and counters with the recorded ones."""
    from cyclecast.report import status
    from cyclecast.simulator import replay as execute

    try:
        limit = Size.parse(memory)
    except OptionError as error:
        raise OptionError("--memory", error.demand, error.bound, "--memory '2 GiB'") from None
    with status("executing the calls", shown=not as_json):
        done = execute(path, fast=fast, memory=limit)
    cycle = int(str(done.header.parameters["cycle_fs"]))
    cycles = {name: -(-getattr(done.counters, f"{name}_fs") // cycle) for name in ("compute", "write")}
    if as_json:
        counted = {"calls": done.calls, "sums": done.received, "cycles": cycles, "counters": asdict(done.counters)}
        print_json({"network": done.header.network, "device": done.header.device, **counted})
        return
    console().print(
        f"{path}: {done.calls:,} calls, {done.received:,} sums as recorded; compute {cycles['compute']:,} cycles, "
        f"write {cycles['write']:,} cycles, as recorded",
        soft_wrap=True,
    )
