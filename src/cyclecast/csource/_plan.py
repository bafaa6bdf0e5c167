"""The network's main function as a list of calls, with the place of each tensor in a workspace."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

from tvm import relax
from tvm.ir import GenericConst, GlobalVar
from tvm.ir.transform import Sequential

from cyclecast.csource._function import ALIGNMENT
from cyclecast.csource._text import BYTES, Names, c_type
from cyclecast.errors import UnsupportedError

PASSES = (
    relax.transform.LegalizeOps(),
    relax.transform.ToNonDataflow(),
    relax.transform.RemovePurityChecking(),
    relax.transform.CallTIRRewrite(),
    relax.transform.StaticPlanBlockMemory(),
)
"""TVM's memory planning, which lets tensors share memory."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or an output of the network."""

    name: str
    kind: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size in memory without padding."""
        return prod(self.shape) * BYTES[self.kind]


@dataclass(frozen=True, slots=True)
class ProgramStep:
    """A call of a function of the program, or (without a function) a copy of a tensor to an output."""

    function: str
    arguments: tuple[str, ...]
    size: int = 0
    """Size of a copy [bytes]."""


@dataclass(slots=True, kw_only=True)
class Program:
    """Calls and tensors of a network, with C names."""

    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    places: list[tuple[str, str, int]] = field(default_factory=list)
    """Tensors in the workspace: C type, name, offset [bytes]."""
    constants: list[tuple[str, str, int]] = field(default_factory=list)
    """Tensors among the weights: C type, name, offset [bytes]."""
    steps: list[ProgramStep] = field(default_factory=list)
    workspace: int = 0
    """Bytes for tensors between the steps."""
    weights: bytearray = field(default_factory=bytearray)


def plan(program: Any) -> Program:
    """The plan of a program's `main`, whose shapes must be fixed. Raises `UnsupportedError`."""
    return _Planner(Sequential(PASSES)(program)["main"]).plan


RESERVED = frozenset(("device", "weights", "inputs", "outputs", "scratch", "workspace"))


class _Planner:
    def __init__(self, function: Any) -> None:
        self.plan = Program()
        self._names = Names(RESERVED)
        self._called: dict[Any, str] = {}
        self._storages: dict[Any, int] = {}
        self._constants: dict[tuple[bytes, str], str] = {}
        self._tuples: dict[Any, list[Any]] = {}
        for param in function.params:
            self._called[param] = self._names.new(str(param.name))
            self.plan.inputs.append(_tensor(self._called[param], param.ty))
        for block in function.body.blocks:
            for binding in block.bindings:
                self._binding(binding.var, binding.value)
        self._finish(function.body.body)

    def _binding(self, variable: Any, value: Any) -> None:
        operator = getattr(value, "op", None)
        name = str(getattr(operator, "name", ""))
        if name == "relax.memory.alloc_storage":
            self._storages[variable] = self._reserve(int(value.args[0].values[0]))
        elif name == "relax.memory.alloc_tensor":
            offset = self._storages[value.args[0]] + int(value.args[1].value)
            self._place(variable, offset)
        elif name == "relax.builtin.alloc_tensor":
            self._place(variable, self._reserve(_tensor("", variable.ty).bytes))
        elif isinstance(operator, GlobalVar):
            arguments = tuple(self._name(argument) for argument in value.args)
            self.plan.steps.append(ProgramStep(str(operator.name_hint), arguments))
        elif isinstance(value, relax.Var | GenericConst):
            self._called[variable] = self._name(value)
        elif isinstance(value, relax.Tuple):
            self._tuples[variable] = list(value.fields)
        elif isinstance(value, relax.TupleGetItem):
            self._called[variable] = self._name(self._tuples[value.tuple_value][value.index])
        else:
            what = name or type(value).__name__
            raise UnsupportedError("generated C", f"the operator {what}", "it calls TVM's runtime", "--target llvm")

    def _reserve(self, size: int) -> int:
        offset = self.plan.workspace
        self.plan.workspace += -(-size // ALIGNMENT) * ALIGNMENT
        return offset

    def _place(self, variable: Any, offset: int) -> None:
        tensor = _tensor(self._names.new(str(variable.name)), variable.ty)
        self._called[variable] = tensor.name
        self.plan.places.append((c_type(tensor.kind), tensor.name, offset))

    def _name(self, value: Any) -> str:
        return self._constant(value) if isinstance(value, GenericConst) else self._called[value]

    def _constant(self, value: Any) -> str:
        array = value.value.numpy()
        key = array.tobytes(), str(array.dtype)
        if key not in self._constants:
            name = self._constants[key] = self._names.new(f"w{len(self._constants)}")
            self.plan.constants.append((c_type(str(array.dtype)), name, len(self.plan.weights)))
            self.plan.weights += key[0] + bytes(-len(key[0]) % ALIGNMENT)
        return self._constants[key]

    def _finish(self, result: Any) -> None:
        """Copy the results to the outputs."""
        fields = self._tuples.get(result) or (list(result.fields) if isinstance(result, relax.Tuple) else [result])
        for place, part in enumerate(fields):
            name = self._names.new("output" if len(fields) == 1 else f"output_{place}")
            output = _tensor(name, part.ty)
            self.plan.outputs.append(output)
            self.plan.steps.append(ProgramStep("", (name, self._name(part)), output.bytes))


def _tensor(name: str, kind: Any) -> Tensor:
    try:
        return Tensor(name, str(kind.dtype), tuple(int(extent) for extent in kind.shape))
    except (AttributeError, TypeError):
        raise UnsupportedError(
            "generated C", f"a tensor of type {kind}", "its shape must be fixed", "--shape NAME=N,N,..."
        ) from None
