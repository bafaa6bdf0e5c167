"""C source text: indented lines, valid identifiers, types, literals."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from cyclecast.errors import UnsupportedError

KEYWORDS = frozenset(
    (
        *("auto", "bool", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum"),
        *("extern", "false", "float", "for", "goto", "if", "inline", "int", "long", "main", "register", "restrict"),
        *("return", "short", "signed", "sizeof", "static", "struct", "switch", "true", "typedef", "union"),
        *("unsigned", "void", "volatile", "while"),
    )
)
MATHEMATICAL = (
    *("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "cos", "cosh", "erf", "erfc", "exp"),
    *("exp2", "expm1", "fabs", "floor", "fmax", "fmin", "fmod", "gamma", "hypot", "j0", "j1", "jn", "lgamma", "log"),
    *("log10", "log1p", "log2", "nearbyint", "pow", "rint", "round", "sin", "sinh", "sqrt", "tan", "tanh", "tgamma"),
    *("trunc", "y0", "y1", "yn"),
)
HEADERS = frozenset(
    (
        *MATHEMATICAL,
        *(f"{name}f" for name in MATHEMATICAL),
        *("isfinite", "isinf", "isnan", "memcpy", "memset", "size_t", "math_errhandling", "try_status"),
    )
)
"""Names from the headers that generated files include."""
PREFIXES = (
    *("at_", "cyclecast_", "div_", "floor_", "host_", "int", "kernel_", "max_", "min_", "mod_"),
    *("network_", "uint"),
)
"""Prefixes of functions and types of generated files and headers."""
TYPES = {
    **{f"{sign}int{bits}": f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "bool": "bool",
    "float32": "float",
    "float64": "double",
}
BYTES = {
    **{f"{sign}int{bits}": bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "bool": 1,
    "float32": 4,
    "float64": 8,
}
MOST_COLUMNS = 110
MOST_SIGNS = 40
"""Longest part of a network's name that a C name keeps; C99 distinguishes the first 63 characters."""
BREAKS = (((", ", 1), (" && ", 0), (" || ", 0), (" ? ", 0), (" : ", 0)), ((" = ", 2), (" + ", 0), ("(", 1)))
"""Marks at which a long line breaks, the second group only without the first; the number of characters kept before."""


class CodeLines:
    """Lines of C, indented by block."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._depth = 0

    def add(self, *lines: str) -> None:
        """Add lines at the current depth; long lines are broken, empty lines stay empty."""
        indent = "    " * self._depth
        for line in lines:
            self.lines += wrapped(f"{indent}{line}" if line else "", indent + "    ")

    def comment(self, text: str) -> None:
        """Add a comment; characters that a compiler or an editor may interpret become `_`."""
        indent = "    " * self._depth
        room = MOST_COLUMNS - len(indent) - len(" */")
        harmless = re.sub(r"[^ -~]|[\\?]", "_", text).replace("*/", "* /").replace("/*", "/ *")
        broken = textwrap.wrap(f"/* {harmless}", room, subsequent_indent=" * ")
        self.lines += [f"{indent}{line}" for line in [*broken[:-1], f"{broken[-1]} */"]]

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Context: lines inside belong to the block with this head, which may be empty."""
        self.add(f"{head} {{".lstrip())
        self._depth += 1
        yield
        self._depth -= 1
        self.add("}")

    @contextmanager
    def function(self, *head: str) -> Iterator[None]:
        """Context: lines inside belong to the function with this head."""
        self.add(*head, "{")
        self._depth += 1
        yield
        self._depth -= 1
        self.add("}", "")

    def __str__(self) -> str:
        return "\n".join(self.lines)


def wrapped(line: str, indent: str) -> list[str]:
    """A line of code, broken after commas and before operators if it is too long."""
    found = []
    while len(line) > MOST_COLUMNS:
        room = line[: MOST_COLUMNS + 1]
        kinds = ([room.rfind(mark) + skip for mark, skip in kind if room.rfind(mark) > len(indent)] for kind in BREAKS)
        place = max(next(filter(None, kinds), [0]))
        if place == 0:
            break
        found.append(line[:place].rstrip())
        line = indent + line[place:].lstrip()
    return [*found, line]


class Names:
    """Unique C identifiers."""

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self._taken = set(KEYWORDS | HEADERS | taken)

    def new(self, wanted: str) -> str:
        """A new identifier similar to the wanted name."""
        plain = re.sub(r"\W", "_", wanted[:MOST_SIGNS], flags=re.ASCII).strip("_") or "value"
        macro = re.fullmatch(r"[A-Z_][A-Z0-9_]+", plain) is not None
        plain = f"v_{plain}" if plain[0].isdigit() or macro or plain.startswith(PREFIXES) else plain
        name, number = plain, 1
        while name in self._taken:
            number += 1
            name = f"{plain}_{number}"
        self._taken.add(name)
        return name


def plain(text: str) -> str:
    """A text without characters that are special in comments and string literals."""
    return re.sub(r"[^\w .+>-]", "_", text, flags=re.ASCII)


def c_type(kind: str) -> str:
    """C type of a tensor's elements. Raises `UnsupportedError` if C99 has none."""
    if kind not in TYPES:
        raise UnsupportedError("generated C", f"values of type {kind}", "C99 has no such type", "--target llvm")
    return TYPES[kind]


def c_integer(value: int, kind: str) -> str:
    """Literal of an integer type; the smallest integers are written as differences."""
    if kind == "bool":
        return "true" if value else "false"
    if kind.endswith("64"):
        macro = "UINT64_C" if kind.startswith("u") else "INT64_C"
        return f"({macro}({value + 1}) - 1)" if value == -(2**63) else f"{macro}({value})"
    if kind == "uint32":
        return f"{value}u"
    return "(-2147483647 - 1)" if value == -(2**31) else str(value)


def c_real(value: float, kind: str) -> str:
    """Literal of a floating-point type that reads back as the same number."""
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "(-INFINITY)"
    text = f"{value:.9g}f" if kind == "float32" else f"{value:.17g}"
    return text if re.search(r"[.e]", text) else text.replace("f", "") + (".0f" if kind == "float32" else ".0")
