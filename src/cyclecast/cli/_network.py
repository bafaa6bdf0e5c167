"""Verbs about networks: tune, estimate, sqnr."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cyclecast import plugins
from cyclecast.cli._again import RECORDS, RESULT, TuneQuestion
from cyclecast.cli._common import (
    LOOK,
    NETWORK,
    ConstantOption,
    DeviceOption,
    ForceOption,
    FrontEndOption,
    JsonOption,
    ModelArgument,
    ShapeOption,
    app,
    bound_model,
    console,
    out_option,
    print_json,
    read_device,
    read_json,
    require_folder,
    shapes_of,
)
from cyclecast.cli._door import StoppedError
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
from cyclecast.cli._verify import verification_lines
from cyclecast.device import Device
from cyclecast.errors import CyclecastError, ModelError, OptionError
from cyclecast.storage.folders import output, require_replaceable
from cyclecast.terminal import json_text

if TYPE_CHECKING:
    from cyclecast.frontend import Quantization, Shapes, Values
    from cyclecast.mapping import Mapping
    from cyclecast.network import Network
    from cyclecast.runner import Runner
    from cyclecast.schedule import Space
    from cyclecast.workflow.progress import Progress
    from cyclecast.workflow.tuning import Tuned

STRATEGIES = (
    "exhaustive: all mappings, by branch and bound, without MetaSchedule. "
    "evolution: MetaSchedule's EvolutionarySearch with the rules of cyclecast, and the timing model as its cost model. "
    "random: independent random mappings. "
    "pareto: all Pareto mappings in time, energy and arrays."
)
WRITTEN = (
    "records.db, module.so, network.json, program.json, mappings.json, traces/, device.yaml, result.json, "
    "cyclecast.json"
)
SETTINGS = ("timing", "strategy", "trials", "seed", "seconds")
MOST_WORK = 1 << 35
"""Most products of single cells for which `tune` simulates a lossy device; they take about ten seconds."""
OTHERS = "The name of a plug-in, or ./mine.py:Name. Repeatable."
TimingOption = Annotated[
    str, typer.Option("--timing", help="The timing model: poster, analytical, event, a plug-in's, or ./mine.py:Name.")
]
RuleOption = Annotated[list[str] | None, typer.Option("--rule", help=f"An additional rule. {OTHERS}")]
MutatorOption = Annotated[list[str] | None, typer.Option("--mutator", help=f"An additional mutation rule. {OTHERS}")]
RunnerOption = Annotated[
    str | None, typer.Option("--runner", help="Measures mappings instead of the timing model: ./mine.py:Name.")
]


@app.command(rich_help_panel=NETWORK)
def tune(
    model: ModelArgument,
    out: Annotated[Path, out_option("--out", "The folder for records, program, mappings and traces.")],
    device: DeviceOption = "isaac",
    timing: TimingOption = "analytical",
    strategy: Annotated[str, typer.Option("--strategy", help=STRATEGIES)] = "exhaustive",
    trials: Annotated[
        int, typer.Option("--trials", min=1, help="Most mappings per workload that evolution and random time.")
    ] = 64,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed; the same seed gives the same result.")] = 0,
    seconds: Annotated[
        float, typer.Option("--seconds", help="Time limit of the search of each workload, in seconds; 0: no limit.")
    ] = 20.0,
    shape: ShapeOption = None,
    constant: ConstantOption = None,
    front_end: FrontEndOption = None,
    calibrate: CalibrateOption = None,
    activations: ActivationsOption = None,
    weights: WeightsOption = "symmetric",
    image_mean: MeanOption = IMAGE_MEAN,
    image_deviation: DeviationOption = IMAGE_DEVIATION,
    explain: Annotated[
        bool, typer.Option("--explain-search", help="Show the size of the search space and the bounds on each result.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--verify/--no-verify", help="At the end, compare the program with the network's own runtime."),
    ] = True,
    rule: RuleOption = None,
    mutator: MutatorOption = None,
    runner: RunnerOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Search schedules for a network on a device, build the program, and compare it with the network.

    A second run with the same folder reuses finished searches. Ctrl-C keeps all results so far.
    """
    described, doubted = read_device(device, as_json)
    require_folder(out)
    settings = dict(zip(SETTINGS, (timing, strategy, trials, seed, seconds), strict=True))
    others = {"rules": rule, "mutators": mutator, "runner": runner, "front_ends": front_end}
    settings |= {name: found for name, found in others.items() if found}
    samples = QuantizationOptions(calibrate, activations, weights, image_mean, image_deviation)
    options = (described.to_yaml(), doubted, settings, shape, constant, str(samples), check)
    named = (timing, strategy, runner, *(rule or ()), *(mutator or ()), *(front_end or ()))
    in_a_file = any(map(plugins.is_in_a_file, named))
    question = None if in_a_file else TuneQuestion.of(model, calibrate, options)
    info = question.answer(out) if question and not force else None
    if info is None:
        job = _TuneJob(
            device=described, samples=samples, shapes=shapes_of(shape), settings=settings, out=out, check=check,
            force=force, shown=not as_json,
        )  # fmt: skip
        info = job.run(bound_model(model, constant), doubted, question)
    _show(info, as_json, explain)
    for line in () if as_json else (*verification_lines(info["verification"]), f"wrote {out}/: {WRITTEN}"):
        console().print(line, soft_wrap=True)


@dataclass(frozen=True, kw_only=True)
class _TuneJob:
    """One run of `tune`."""

    device: Device
    samples: QuantizationOptions
    shapes: dict[str, tuple[int, ...]]
    settings: dict[str, Any]
    out: Path
    check: bool
    force: bool
    shown: bool

    def run(self, model: Any, doubts: list[str], question: TuneQuestion | None) -> dict[str, Any]:
        """Search, build, verify and write; return the values to print."""
        from cyclecast.search import search_strategy
        from cyclecast.timing import timing_model

        timing_model(self.settings["timing"])  # report a wrong name before the network is read
        search_strategy(self.settings["strategy"])
        space, runner = self._space(), self._runner()
        from cyclecast.frontend import load_quantised
        from cyclecast.workflow import stored

        quantization = self.samples.quantization(model, self.device, self.shapes)
        network = load_quantised(model, quantization, shapes=self.shapes)
        names = [*stored.names_of(network), stored.PROGRAM, RESULT]
        require_replaceable(self.out, names, force=self.force)
        tuned = self._searched(network, space, runner)
        from cyclecast.report import status, tuned_info
        from cyclecast.workflow import building

        inputs = _inputs(model, self.shapes, quantization.calibration)
        more = {"inputs": inputs, "out": str(self.out), "settings": self.settings, "doubts": doubts}
        info = tuned_info(tuned) | more | {"verification": None}
        asked = question.asked(self.out) if question else ""
        with output(self.out, "tune", force=self.force, asked=asked) as place:
            with status("lowering and building", shown=self.shown):
                building.write_built(tuned, place, self.out)
            if self.check:
                info["verification"] = self._verified(tuned, place, model, inputs, quantization)
            (place / RESULT).write_text(json_text(info), encoding="utf-8")
        return info

    def _searched(self, network: Network, space: Space | None, runner: Runner | None) -> Tuned:
        """The best mappings; finished searches in the folder's database are reused."""
        from cyclecast.report import progress_bar

        options = {name: self.settings[name] for name in SETTINGS} | {"seconds": _limit(self.settings["seconds"])}
        with (
            progress_bar(len(network.members), shown=self.shown) as show,
            _kept(network, self.out, show) as progress,
        ):
            from cyclecast.workflow import tuning  # imported after the first line is printed

            options |= {"space": space, "runner": runner, "database": self.out / RECORDS, "progress": progress}
            return tuning.tune(network, self.device, **options)

    def _runner(self) -> Runner | None:
        if "runner" not in self.settings:
            return None
        from cyclecast.runner import require_runner

        return require_runner(plugins.build("runner", self.settings["runner"], {}, device=self.device))

    def _space(self) -> Space | None:
        """The space with the user's rules; None if there are none."""
        if not {"rules", "mutators"} & set(self.settings):
            return None
        from cyclecast.schedule import Space

        found: list[list[Any]] = [
            [plugins.build(kind, spec, {}, device=self.device) for spec in self.settings.get(f"{kind}s", ())]
            for kind in ("rule", "mutator")
        ]
        return Space(self.device, *found)

    def _verified(
        self, tuned: Tuned, folder: Path, model: Any, inputs: dict[str, Any], quantization: Quantization
    ) -> dict[str, Any]:
        """Result of `verify` for the first sample, or for random values; or the reason why there is no reference."""
        from cyclecast.frontend import as_samples
        from cyclecast.report import status
        from cyclecast.workflow.verification import verify

        shapes = {name: each["shape"] for name, each in inputs.items()}
        known = quantization.calibration
        first = {name: as_samples(known[name], shape)[0] for name, shape in shapes.items()} if known else None
        work = tuned.network.macs * tuned.device.slices * tuned.device.input_steps
        module, simulated = folder / "module.so", work <= MOST_WORK
        try:
            with status("comparing with the network's own runtime", shown=self.shown):
                found = verify(module, model, inputs=first, shapes=shapes, tuned=tuned, on_device=simulated)
        except CyclecastError as error:
            if isinstance(error, ModelError) and error.where == str(module):  # the program is wrong, not the reference
                raise
            return {"error": str(error)}
        return found | ({"inputs": "the first sample of the calibration"} if first else {})


def _inputs(model: Any, shapes: Shapes, calibration: Values) -> dict[str, Any]:
    """Shape of each input, and its range in the calibration samples."""
    from cyclecast.frontend import input_shapes

    ranges = {name: (float(values.min()), float(values.max())) for name, values in calibration.items() if values.size}
    found = input_shapes(model, shapes).items()
    return {name: {"shape": shape, "range": ranges.get(name)} for name, (shape, _) in found}


@app.command(rich_help_panel=LOOK)
def estimate(
    model: ModelArgument,
    device: DeviceOption = "isaac",
    timing: TimingOption = "analytical",
    mapping: Annotated[
        Path | None,
        typer.Option("--mapping", help="A file of mappings by kernel, like mappings.json.", show_default=False),
    ] = None,
    shape: ShapeOption = None,
    constant: ConstantOption = None,
    front_end: FrontEndOption = None,
    calibrate: CalibrateOption = None,
    activations: ActivationsOption = None,
    weights: WeightsOption = "symmetric",
    image_mean: MeanOption = IMAGE_MEAN,
    image_deviation: DeviationOption = IMAGE_DEVIATION,
    as_json: JsonOption = False,
) -> None:
    """Time a network without a search: with the default mapping of every workload, or with mappings from a file."""
    described, doubted = read_device(device, as_json)
    samples = QuantizationOptions(calibrate, activations, weights, image_mean, image_deviation)
    network = _load(bound_model(model, constant), described, shape, samples)
    from cyclecast.report import tuned_info
    from cyclecast.workflow import tuning

    mappings = _mappings(mapping) if mapping else None
    estimated = tuning.estimate(network, described, timing=timing, mappings=mappings)
    _show(tuned_info(estimated) | {"doubts": doubted}, as_json)


def _mappings(path: Path) -> dict[str, Mapping]:
    from cyclecast.mapping import mappings_from_json

    return mappings_from_json(read_json(f"--mapping {path}", path))


@app.command(rich_help_panel=LOOK)
def sqnr(
    model: ModelArgument,
    calibrate: Annotated[Path, typer.Option("--calibrate", help="Samples: a folder of images, or an .npz file.")],
    device: DeviceOption = "isaac",
    shape: ShapeOption = None,
    constant: ConstantOption = None,
    front_end: FrontEndOption = None,
    activations: ActivationsOption = None,
    weights: WeightsOption = "symmetric",
    image_mean: MeanOption = IMAGE_MEAN,
    image_deviation: DeviationOption = IMAGE_DEVIATION,
    worst: Annotated[int, typer.Option("--worst", min=1, help="Number of layers to list.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Report the quantisation error of each layer: signal to quantisation noise ratio, worst layers first."""
    described, doubted = read_device(device, as_json)
    samples = QuantizationOptions(calibrate, activations, weights, image_mean, image_deviation)
    from cyclecast.frontend import layer_errors
    from cyclecast.report import sqnr_info, sqnr_table

    source = bound_model(model, constant)
    info = sqnr_info(
        layer_errors(source, samples.quantization(source, described, shapes_of(shape)), shapes=shapes_of(shape))
    )
    if as_json:
        print_json(info | {"doubts": doubted})
    else:
        console().print(sqnr_table(info, worst))


def _load(model: Any, device: Device, shape: Sequence[str] | None, samples: QuantizationOptions) -> Network:
    from cyclecast.frontend import load_quantised

    return load_quantised(model, samples.quantization(model, device, shapes_of(shape)), shapes=shapes_of(shape))


def _limit(seconds: float) -> float | None:
    """The time limit, or None for no limit. Raises `OptionError`."""
    if not seconds >= 0:
        raise OptionError("--seconds", f"{seconds:g}", "it must be 0 or more", "--seconds 20")
    return seconds or None


@contextmanager
def _kept(network: Network, out: Path, show: Callable[[Progress], None]) -> Iterator[Callable[[Progress], None]]:
    """Context: pass progress on; on Ctrl-C, report finished searches and the best result of the current one."""
    latest: deque[Progress] = deque(maxlen=1)

    def follow(progress: Progress) -> None:
        latest.append(progress)
        show(progress)

    try:
        yield follow
    except KeyboardInterrupt as stop:
        done = latest[0].position + latest[0].done if latest else 0
        best = f"; {latest[0].text}" if latest and not latest[0].done else ""
        raise StoppedError(
            f"stopped: {done} of {len(network.members)} workloads are finished, and the next run with --out {out} "
            f"reuses them{best}, in {out / RECORDS}"
        ) from stop


def _show(info: dict[str, Any], as_json: bool, explain: bool = False) -> None:
    from cyclecast.report import search_table, tuned_table

    if as_json:
        print_json(info)
    else:
        console().print(tuned_table(info))
        if explain:
            console().print(search_table(info))
