"""TIR expressions as C."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tvm import tirx
from tvm.ir import Call, TensorLoad, Var
from tvm.ir.prim import expr as prim

from cyclecast.csource._text import MATHEMATICAL, c_integer, c_real, c_type
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
"""Binary operators and their precedence in C."""
CONDITIONAL, UNARY, PRIMARY = 2, 13, 14
COMPARISONS = (8, 9)
BITWISE = (5, 6, 7, 10)
"""Precedences of operators whose operands are put in parentheses for readability."""
NARROW = ("int8", "int16", "uint8", "uint16")
"""Types that C promotes to int; results are cast back."""
REALS = {"float32": "f32", "float64": "f64"}
LIBRARY = {"tirx.fabs": "fabs", "tirx.isnan": "isnan"}
"""Functions of <math.h> that TVM leaves in the program."""
GENERIC = ("isnan",)
"""Functions with one name for all types."""
DIVISIONS = {prim.Div: "div", prim.FloorDiv: "floor_div", prim.Mod: "mod", prim.FloorMod: "floor_mod"}
"""Functions of `cyclecast_host.h`, one per integer type."""
EXTERN = frozenset(
    (
        *MATHEMATICAL,
        *(f"{name}f" for name in MATHEMATICAL),
        *("isfinite", "isinf", "isnan"),
        *(f"{name}_{kind}" for name in DIVISIONS.values() for kind in ("i32", "i64", "u32", "u64")),
    )
)
"""Functions that a program may call by name: those of <math.h> and of `cyclecast_host.h`. Other names are refused,
because the name is a string in the program and becomes C code."""


class Expressions:
    """Prints expressions; `name_of` names variables and buffers."""

    def __init__(self, name_of: Callable[[Any], str]) -> None:
        self._name_of = name_of
        self._bound: dict[Any, Any] = {}
        self._forms: Mapping[type, Callable[[Any, str], tuple[str, int]]] = {
            prim.IntImm: self._integer,
            prim.FloatImm: self._real,
            Var: self._variable,
            TensorLoad: self._load,
            prim.Cast: self._cast,
            prim.Min: self._extreme,
            prim.Max: self._extreme,
            prim.Select: self._select,
            prim.Not: self._not,
            prim.BitwiseNot: self._complement,
            prim.Let: self._let,
            Call: self._call,
            **dict.fromkeys(BINARY, self._binary),
        }

    def text(self, expression: Any) -> str:
        """The expression as C."""
        return self._printed(expression)[0]

    def _operand(self, expression: Any, binding: int, around: int = PRIMARY) -> str:
        """An operand of an operator of precedence `around`, in parentheses if it binds less tightly than `binding`."""
        text, inner = self._printed(expression)
        unclear = (
            (around in BITWISE and inner < UNARY)
            or (around in COMPARISONS and inner in COMPARISONS)
            or (around == BINARY[prim.Or][1] and inner == BINARY[prim.And][1])
        )
        return f"({text})" if inner < binding or unclear else text

    def _printed(self, expression: Any) -> tuple[str, int]:
        """An expression as C, and the precedence of its outermost operator."""
        form = self._forms.get(type(expression))
        if form is None:
            raise _unknown(type(expression).__name__)
        return form(expression, type_of(expression))

    def _integer(self, constant: Any, kind: str) -> tuple[str, int]:
        return c_integer(int(constant.value), kind), UNARY if constant.value < 0 else PRIMARY

    def _real(self, constant: Any, kind: str) -> tuple[str, int]:
        return c_real(float(constant.value), kind), UNARY if constant.value < 0 else PRIMARY

    def _variable(self, variable: Any, kind: str) -> tuple[str, int]:
        bound = self._bound.get(variable)
        return (self._name_of(variable), PRIMARY) if bound is None else self._printed(bound)

    def _load(self, load: Any, kind: str) -> tuple[str, int]:
        (index,) = load.indices
        return f"{self._name_of(load.source)}[{self.text(index)}]", PRIMARY

    def _select(self, select: Any, kind: str) -> tuple[str, int]:
        return self._conditional(select.condition, select.true_value, select.false_value)

    def _not(self, negation: Any, kind: str) -> tuple[str, int]:
        return f"!{self._operand(negation.a, UNARY)}", UNARY

    def _complement(self, complement: Any, kind: str) -> tuple[str, int]:
        return self._narrowed(f"~{self._operand(complement.a, UNARY)}", UNARY, kind)

    def _let(self, let: Any, kind: str) -> tuple[str, int]:
        self._bound[let.var] = let.value
        return self._printed(let.body)

    def _binary(self, expression: Any, kind: str) -> tuple[str, int]:
        sign, binding = BINARY[type(expression)]
        if sign == "%" and "float" in kind:
            name = "fmodf" if kind == "float32" else "fmod"
            return f"{name}({self.text(expression.a)}, {self.text(expression.b)})", PRIMARY
        left, right = self._operand(expression.a, binding, binding), self._operand(expression.b, binding + 1, binding)
        return self._narrowed(f"{left} {sign} {right}", binding, kind)

    def _narrowed(self, text: str, binding: int, kind: str) -> tuple[str, int]:
        return (f"({c_type(kind)})({text})", UNARY) if kind in NARROW else (text, binding)

    def _cast(self, expression: Any, kind: str) -> tuple[str, int]:
        if kind == type_of(expression.value):
            return self._printed(expression.value)
        given = type_of(expression.value)
        if kind == "bool":
            return f"{self._operand(expression.value, 9)} != 0", 8
        if given in REALS and kind not in REALS:
            c_type(kind)  # cyclecast_host.h has a function for each of these types
            return f"{kind}_of_{REALS[given]}({self.text(expression.value)})", PRIMARY
        return f"({c_type(kind)}){self._operand(expression.value, UNARY)}", UNARY

    def _extreme(self, expression: Any, kind: str) -> tuple[str, int]:
        name = "max" if isinstance(expression, prim.Max) else "min"
        wide = {"int64": "i64", "uint32": "i64", "uint64": "u64"}
        suffix = kind.replace("float", "f") if "float" in kind else wide.get(kind, "i32")
        return f"{name}_{suffix}({self.text(expression.a)}, {self.text(expression.b)})", PRIMARY

    def _conditional(self, condition: Any, then: Any, otherwise: Any) -> tuple[str, int]:
        parts = self._operand(condition, 3), self._operand(then, CONDITIONAL + 1), self._operand(otherwise, CONDITIONAL)
        return f"{parts[0]} ? {parts[1]} : {parts[2]}", CONDITIONAL

    def _call(self, call: Any, kind: str) -> tuple[str, int]:
        name, arguments = str(getattr(call.op, "name", call.op)), list(call.args)
        if name == "prim.if_then_else":
            return self._conditional(*arguments)
        if name == "prim.likely":
            return self._printed(arguments[0])
        if name == "tirx.call_pure_extern":
            name, arguments = _extern(arguments[0]), arguments[1:]
        elif name in LIBRARY:
            single = type_of(arguments[0]) == "float32" and LIBRARY[name] not in GENERIC
            name = f"{LIBRARY[name]}{'f' if single else ''}"
        else:
            raise _unknown(name)
        return f"{name}({', '.join(self.text(argument) for argument in arguments)})", PRIMARY


def _extern(name: Any) -> str:
    """Name of a function that a program may call. Raises `UnsupportedError` for other names."""
    text = str(getattr(name, "value", name))
    if text not in EXTERN:
        raise _unknown(f"a call of '{text}'")
    return text


def type_of(expression: Any) -> str:
    """Element type of an expression."""
    return str(getattr(expression, "ty", ""))


def stable_tanh(call: Any) -> Any:
    """Hyperbolic tangent as TVM compiles it: exponentials that cannot overflow on either side of zero."""
    (x,) = call.args
    one, two = (tirx.const(value, type_of(x)) for value in (1, 2))
    falling, rising = tirx.exp(-two * x), tirx.exp(two * x)
    positive = (one - falling) / (one + falling)
    return tirx.Select(x >= tirx.const(0, type_of(x)), positive, (rising - one) / (rising + one))


def _unknown(what: str) -> UnsupportedError:
    return UnsupportedError("generated C", f"{what} in a host function", "C99 has no such function", "--target llvm")
