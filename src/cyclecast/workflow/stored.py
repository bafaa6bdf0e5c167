"""Read the folder of a tuned network, without TVM."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Mapped
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclecast.device import Device, Doubt, load_doubted
from cyclecast.errors import CyclecastError, ModelError
from cyclecast.mapping import Mapping, mapping_from_json, require_fit
from cyclecast.network import NOWHERE, DigitalOperator, HostOperator, Member, Network, operators_from_json
from cyclecast.storage.folders import read_file, require_unchanged
from cyclecast.storage.reading import json_value, read_as, text, whole

MOST = 2**53
"""Largest count of operators, operations or bytes: JSON's numbers are exact up to 2^53."""
PROGRAM = "module.so"
FORMAT = 3
"""Version of `network.json`."""
PARTS = {"network.json": 1 << 28, "program.json": 1 << 32, "mappings.json": 1 << 28, "device.yaml": 1 << 20}
"""Files that `load` reads, and their maximum sizes [bytes]."""
KERNEL = re.compile(r"[A-Za-z_]\w*", re.ASCII)
"""Pattern of kernel names, which are also file names."""
CHECKED = ("tune", "place", "compile llvm")
"""Verbs whose files must not have changed since they were written."""


def names_of(network: Network) -> list[str]:
    """Names of the files that `tune` writes for a network, except the program and the result."""
    return [*PARTS, *(f"traces/{member.kernel}.json" for member in network.members)]


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A network with a mapping for each kernel, as read from a folder that `save` wrote."""

    network: Network
    device: Device
    mappings: Mapped[str, Mapping]
    """Mapping of each kernel."""
    doubts: tuple[Doubt, ...] = ()
    """Doubts about the device, with the lines of its file."""


def load(folder: str | Path) -> Scheduled:
    """The network, device and mappings that `tune` wrote into a folder; the network's program is None.

    Raises `ModelError` if a file is missing or has changed.
    """
    place = Path(folder)
    with explained(place):
        return described(place, lambda _: None, lambda _: None)


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Context: turn any error in reading a folder into a `ModelError`."""
    try:
        yield
    except OSError as error:
        lever = "cyclecast tune MODEL --out FOLDER"
        raise ModelError(str(error.filename), "it cannot be read", str(error.strerror), lever) from error
    except CyclecastError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise ModelError(str(folder), "its files are not what tune wrote", reason, "tuning again") from error


@contextmanager
def parsing(folder: Path, name: str) -> Iterator[None]:
    """Context: turn an error in parsing a file into a `ModelError` that names it."""
    try:
        yield
    except (ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
        where, reason = f"{folder}/{name}.json", f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise ModelError(where, "it is not what tune wrote", reason, "tuning again") from error


def described(
    folder: Path, program_of: Callable[[bytes], Any], require_equal: Callable[[Scheduled], None]
) -> Scheduled:
    """The content of a folder with unchanged files; `program_of` reads the program, `require_equal` checks it."""
    read = {name: read_file(folder, name, PARTS[name]) for name in PARTS}
    require_unchanged(folder, read, CHECKED)
    about, mappings = (_parsed(folder, name, read) for name in ("network", "mappings"))
    if about["format"] != FORMAT:
        raise ModelError(
            f"{folder}/network.json", f"format {about['format']}", f"this is format {FORMAT}", "tuning again"
        )
    program = program_of(read["program.json"])
    by_kernel = {str(kernel): mapping_from_json(mapping) for kernel, mapping in mappings.items()}
    network = _described(about, by_kernel, program)
    device, doubts = load_doubted(folder / "device.yaml")
    scheduled = Scheduled(network, device, by_kernel, doubts)
    require_equal(scheduled)
    _require_consistent(scheduled, folder)
    return scheduled


def _parsed(folder: Path, name: str, read: Mapped[str, bytes]) -> Any:
    with parsing(folder, name):
        return json_value(read[f"{name}.json"].decode())


def _described(value: dict[str, Any], mappings: Mapped[str, Mapping], program: Any) -> Network:
    """The network that `network.json` describes."""
    members = tuple(
        Member(mappings[text(member["kernel"])].workload, whole(member["count"], least=1), member["kernel"])
        for member in value["members"]
    )
    host = read_as(tuple[HostOperator, ...], value["host"])
    for operator in host:
        for number in (operator.count - 1, operator.operations, operator.bytes, operator.macs):
            if not 0 <= number <= MOST:
                raise ModelError(
                    f"host operator {operator.name}",
                    "a count or size beyond all bounds",
                    f"0 to {MOST:,}",
                    "tuning again",
                )
    operators, digital = operators_from_json(value["operators"]), _digital(value["digital"], len(value["operators"]))
    return Network(text(value["name"]), members, host, program, operators, digital)


def _digital(value: Any, operators: int) -> tuple[DigitalOperator, ...]:
    found = read_as(tuple[DigitalOperator, ...], value)
    for each in found:
        numbers = (each.chain, each.operations, each.through, each.loads, each.stores, *dict(each.work).values())
        if not all(0 <= number <= MOST for number in numbers) or not NOWHERE <= each.after < operators:
            where, bound = f"digital operator {each.name}", f"0 to {MOST:,}, and after an operator of the network"
            raise ModelError(where, "a number beyond all bounds", bound, "tuning again")
    return found


def _require_consistent(scheduled: Scheduled, folder: Path) -> None:
    """Raise `ModelError` if the files belong to different networks, `FitError` if to different devices."""
    network, mappings = scheduled.network, scheduled.mappings
    for kernel, mapping in mappings.items():
        if not KERNEL.fullmatch(kernel):
            raise ModelError(f"{folder}/mappings.json", f"no kernel is called '{kernel}'", lever="tuning again")
        require_fit(mapping, scheduled.device)
    for operator in network.operators:
        workload, pixels = operator.workload, operator.workload.groups * operator.workload.pixels
        known = mappings.get(operator.kernel)
        if (operator.kernel and (known is None or workload != known.workload)) or operator.pixels > pixels:
            what = f"an operator {workload.name} with {operator.pixels} pixels"
            raise ModelError(f"{folder}/network.json", what, "its kernel is another", "tuning again")
    occurs = Counter(operator.kernel for operator in network.operators)
    if occurs:
        require_counts(scheduled, occurs, folder, "network.json: operators")


def require_counts(scheduled: Scheduled, found: Mapped[str, int], folder: Path, where: str) -> None:
    """Raise `ModelError` unless kernels occur as often as the members of the network state."""
    stated = {member.kernel: member.count for member in scheduled.network.members}
    for kernel in {*scheduled.mappings, *filter(None, stated)}:
        if found.get(kernel, 0) != stated.get(kernel, 0):
            what = f"{kernel} occurs {stated.get(kernel, 0)} times, and {found.get(kernel, 0)} times in {where}"
            raise ModelError(f"{folder}/network.json", what, lever="tuning again")
