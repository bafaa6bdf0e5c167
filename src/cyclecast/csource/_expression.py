"""TIR expressions as C."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tvm import tirx
from tvm.ir import Call, TensorLoad, Var
from tvm.ir.prim import expr as prim

from cyclecast.csource._text import c_integer, c_real, c_type
from cyclecast.errors import UnsupportedError

BINARY: Mapping[type, tuple[str, int]] = {
    prim.Mul: ("*", 12),
    prim.Div: ("/", 12),
    prim.Mod: ("%", 12),
    prim.Add: ("+", 11),
    prim.Sub: ("-", 11),
    prim.LShift: ("<<", 10),
    prim.RShift: (">>", 10),
    prim.LT: ("<", 9),
    prim.LE: ("<=", 9),
    prim.GT: (">", 9),
    prim.GE: (">=", 9),
    prim.EQ: ("==", 8),
    prim.NE: ("!=", 8),
    prim.BitwiseAnd: ("&", 7),
    prim.BitwiseXor: ("^", 6),
    prim.BitwiseOr: ("|", 5),
    prim.And: ("&&", 4),
    prim.Or: ("||", 3),
}
"""Operators with how tightly they bind, as C has it."""
CONDITIONAL, UNARY, PRIMARY = 2, 13, 14
COMPARISONS = (8, 9)
BITWISE = (5, 6, 7, 10)
"""Operators of so little precedence that their neighbours stand in parentheses."""
NARROW = ("int8", "int16", "uint8", "uint16")
"""What C computes as int and has to be cut back."""
LIBRARY = {"tirx.fabs": "fabs", "tirx.fmod": "fmod", "tirx.isnan": "isnan"}
"""Functions of C's own that TVM leaves as they are."""
GENERIC = ("isnan",)
"""One name for all types."""


class Expressions:
    """Prints expressions, given what variables and buffers are called."""

    def __init__(self, name_of: Callable[[Any], str]) -> None:
        self._name_of = name_of
        self._bound: dict[Any, Any] = {}

    def text(self, expression: Any) -> str:
        """The expression as C."""
        return self._printed(expression)[0]

    def _operand(self, expression: Any, binding: int, around: int = PRIMARY) -> str:
        """An operand of an operator that binds so tightly (`around`), which wants at least `binding`."""
        text, inner = self._printed(expression)
        unclear = (
            (around in BITWISE and inner < UNARY)
            or (around in COMPARISONS and inner in COMPARISONS)
            or (around == BINARY[prim.Or][1] and inner == BINARY[prim.And][1])
        )
        return f"({text})" if inner < binding or unclear else text

    def _printed(self, expression: Any) -> tuple[str, int]:
        kind = type_of(expression)
        match expression:
            case prim.IntImm():
                return c_integer(int(expression.value), kind), UNARY if expression.value < 0 else PRIMARY
            case prim.FloatImm():
                return c_real(float(expression.value), kind), UNARY if expression.value < 0 else PRIMARY
            case Var():
                bound = self._bound.get(expression)
                return self._printed(bound) if bound is not None else (self._name_of(expression), PRIMARY)
            case TensorLoad():
                (index,) = expression.indices
                return f"{self._name_of(expression.source)}[{self.text(index)}]", PRIMARY
            case prim.Cast():
                return self._cast(expression, kind)
            case prim.Min() | prim.Max():
                return self._extreme(expression, kind), PRIMARY
            case prim.Select():
                return self._conditional(expression.condition, expression.true_value, expression.false_value)
            case prim.Not():
                return f"!{self._operand(expression.a, UNARY)}", UNARY
            case prim.BitwiseNot():
                return self._narrowed(f"~{self._operand(expression.a, UNARY)}", UNARY, kind)
            case prim.Let():
                self._bound[expression.var] = expression.value
                return self._printed(expression.body)
            case Call():
                return self._call(expression)
        if type(expression) in BINARY:
            return self._binary(expression, kind)
        raise _unknown(type(expression).__name__)

    def _binary(self, expression: Any, kind: str) -> tuple[str, int]:
        sign, binding = BINARY[type(expression)]
        left, right = self._operand(expression.a, binding, binding), self._operand(expression.b, binding + 1, binding)
        return self._narrowed(f"{left} {sign} {right}", binding, kind)

    def _narrowed(self, text: str, binding: int, kind: str) -> tuple[str, int]:
        return (f"({c_type(kind)})({text})", UNARY) if kind in NARROW else (text, binding)

    def _cast(self, expression: Any, kind: str) -> tuple[str, int]:
        if kind == type_of(expression.value):
            return self._printed(expression.value)
        if kind == "bool":
            return f"{self._operand(expression.value, 9)} != 0", 8
        return f"({c_type(kind)}){self._operand(expression.value, UNARY)}", UNARY

    def _extreme(self, expression: Any, kind: str) -> str:
        name = "max" if isinstance(expression, prim.Max) else "min"
        suffix = kind.replace("float", "f") if "float" in kind else "i64" if kind in ("int64", "uint32") else "i32"
        return f"{name}_{suffix}({self.text(expression.a)}, {self.text(expression.b)})"

    def _conditional(self, condition: Any, then: Any, otherwise: Any) -> tuple[str, int]:
        parts = self._operand(condition, 3), self._operand(then, CONDITIONAL + 1), self._operand(otherwise, CONDITIONAL)
        return f"{parts[0]} ? {parts[1]} : {parts[2]}", CONDITIONAL

    def _call(self, call: Any) -> tuple[str, int]:
        name, arguments = str(getattr(call.op, "name", call.op)), list(call.args)
        if name == "prim.if_then_else":
            return self._conditional(*arguments)
        if name == "prim.likely":
            return self._printed(arguments[0])
        if name == "tirx.call_pure_extern":
            name, arguments = str(arguments[0].value), arguments[1:]
        elif name in LIBRARY:
            single = type_of(arguments[0]) == "float32" and LIBRARY[name] not in GENERIC
            name = f"{LIBRARY[name]}{'f' if single else ''}"
        else:
            raise _unknown(name)
        return f"{name}({', '.join(self.text(argument) for argument in arguments)})", PRIMARY


def type_of(expression: Any) -> str:
    """The element type of an expression."""
    return str(getattr(expression, "ty", ""))


def stable_tanh(call: Any) -> Any:
    """What TVM compiles the hyperbolic tangent to: exponentials that cannot overflow, on either side of zero."""
    (x,) = call.args
    one, two = (tirx.const(value, type_of(x)) for value in (1, 2))
    falling, rising = tirx.exp(-two * x), tirx.exp(two * x)
    positive = (one - falling) / (one + falling)
    return tirx.Select(x >= tirx.const(0, type_of(x)), positive, (rising - one) / (rising + one))


def _unknown(what: str) -> UnsupportedError:
    return UnsupportedError("generated C", f"{what} in a host function", "C99 has no such function", "--target llvm")
