"""All exceptions that cyclecast raises on purpose.

CyclecastError
 |- OptionError          an unknown name or a bad value of an option
 |- DeviceError          a device file that cannot be read or contradicts itself
 |   `- MistakesError      ... in several places, with all of them
 |- ModelError           a network file that cannot be read
 |   `- UnsupportedError   ... or asks for an operator or a shape that is not supported
 |       `- OperatorsError ... with a table of these operators
 |- FitError             a workload that the device cannot hold
 |- TimingError          a timing model that has no time for any mapping of a workload
 |- MappingError         a mapping that breaks one of its laws
 |- ScheduleError        a scheduled module that cannot be read as a mapping
 |- TraceError           an instruction trace that cannot be read, or that a device does not follow
 |- BehaviourError       a wrong use of the behaviour model, such as reading an unwritten array
 `- DatabaseError        a record database that cannot be opened or written

Each has a place, a demand (what is wrong), a bound (what it must be) and a lever (what to try).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cyclecast.terminal import printable, short

LONGEST = 1000
"""Longest part of a message, in characters; names in untrusted files have any length."""
MOST_MISTAKES = 40
"""Most mistakes of a device that are listed."""


class CyclecastError(Exception):
    """The root of the tree; its text is one line: where, demand, bound, lever."""

    def __init__(self, where: str, demand: str, bound: str = "", lever: str = "") -> None:
        parts = (printable(short(part, LONGEST)) for part in (where, demand, bound, lever))
        self.where, self.demand, self.bound, self.lever = parts
        super().__init__(where, demand, bound, lever)

    def __str__(self) -> str:
        bound = f", {self.bound}" if self.bound else ""
        lever = f"; try {self.lever}" if self.lever else ""
        return f"{self.where}: {self.demand}{bound}{lever}"


class OptionError(CyclecastError, ValueError):
    """An option has an unknown name or a bad value."""


class DeviceError(CyclecastError, ValueError):
    """A device file cannot be read or contradicts itself."""


class MistakesError(DeviceError):
    """A device has several mistakes; the text has one line per mistake, in the order of the file."""

    def __init__(self, mistakes: Sequence[DeviceError]) -> None:
        self.mistakes = tuple(mistakes)
        first = self.mistakes[0]
        super().__init__(first.where, first.demand, first.bound, first.lever)

    @property
    def lines(self) -> tuple[str, ...]:
        """One line per mistake, at most `MOST_MISTAKES`, and one with the number of the others."""
        more = len(self.mistakes) - MOST_MISTAKES
        rest = (f"and {more:,} mistakes more",) if more > 0 else ()
        return (*map(str, self.mistakes[:MOST_MISTAKES]), *rest)

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def __reduce__(self) -> tuple[type[MistakesError], tuple[tuple[DeviceError, ...]]]:
        return type(self), (self.mistakes,)

    @staticmethod
    def of(mistakes: Iterable[DeviceError]) -> DeviceError:
        """The only mistake, or an error with all of them."""
        found = tuple(mistakes)
        return found[0] if len(found) == 1 else MistakesError(found)


class ModelError(CyclecastError, ValueError):
    """A network file cannot be read."""


class UnsupportedError(ModelError):
    """A network asks for an operator or a shape that is not supported."""


@dataclass(frozen=True, order=True, slots=True)
class Refused:
    """An operator of a network that cannot be imported."""

    operator: str
    count: int
    nodes: tuple[str, ...]
    """Names of the first nodes."""
    advice: str

    def __str__(self) -> str:
        more = ", ..." if self.count > len(self.nodes) else ""
        return f"{self.operator} ({self.count}: {', '.join(self.nodes)}{more})"


class OperatorsError(UnsupportedError):
    """A network has operators that cannot be imported; it lists their nodes and advice for each."""

    def __init__(self, where: str, refused: Sequence[Refused]) -> None:
        self.refused = tuple(refused)
        listed = "; ".join(map(str, self.refused))
        advice = dict.fromkeys(_gerund(row.advice) for row in self.refused)
        super().__init__(where, f"operators {listed}", "TVM's importer does not know them", ", and ".join(advice))

    def __reduce__(self) -> tuple[type[OperatorsError], tuple[str, tuple[Refused, ...]]]:
        """For pickling, with the original arguments."""
        return OperatorsError, (self.where, self.refused)


def _gerund(order: str) -> str:
    """'exporting it' for 'export it'."""
    verb, _, rest = order.partition(" ")
    return f"{verb.removesuffix('e')}ing {rest}"


FAULTS = (AssertionError, AttributeError, ImportError, LookupError, NameError, NotImplementedError, TypeError)
"""Errors of a program, even if they passed through TVM."""


def is_of_tvm(error: BaseException) -> bool:
    """Whether TVM raised or passed on an error about its input, and it is no fault of cyclecast."""
    return hasattr(error, "__tvm_ffi_error__") and not isinstance(error, FAULTS)


class FitError(CyclecastError, ValueError):
    """The device cannot hold a workload."""


class TimingError(CyclecastError, ValueError):
    """A timing model has no time for any mapping of a workload."""


class MappingError(CyclecastError, ValueError):
    """A mapping breaks one of its laws."""


class ScheduleError(CyclecastError, ValueError):
    """A scheduled module cannot be read as a mapping."""


class TraceError(CyclecastError, ValueError):
    """An instruction trace cannot be read, or a device answers differently."""


class BehaviourError(CyclecastError, RuntimeError):
    """The behaviour model was used in a way that the device does not allow."""


class DatabaseError(CyclecastError, RuntimeError):
    """A record database cannot be opened, read or written."""
