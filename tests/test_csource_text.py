"""Names, literals and lines of C."""

from __future__ import annotations

import math
import re
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cyclecast.csource._text import (
    HEADERS,
    KEYWORDS,
    MOST_COLUMNS,
    PREFIXES,
    CodeLines,
    Names,
    c_integer,
    c_real,
    c_type,
    plain,
    wrapped,
)
from cyclecast.errors import UnsupportedError

pytestmark = pytest.mark.tvm

LIMITS = {"int8": 7, "int16": 15, "int32": 31, "int64": 63}


@given(st.lists(st.text(), max_size=20))
def test_names_are_identifiers_and_all_different(wanted: list[str]) -> None:
    names = Names(frozenset(("device",)))
    made = [names.new(name) for name in wanted]
    assert len(set(made)) == len(made)
    for name in made:
        assert re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII)
        assert name not in KEYWORDS | HEADERS | {"device"}
        assert not name.startswith(PREFIXES)


@given(st.lists(st.text(st.sampled_from("aZ_.é"), min_size=60, max_size=90), max_size=9))
def test_names_differ_in_what_c_tells_apart(wanted: list[str]) -> None:
    """63 characters, of which a prefix and an ending of ours are some."""
    names = Names()
    made = [f"kernel_{names.new(name)}_on_device"[:63] for name in ("a" * 5000, "a" * 5001, *wanted)]
    assert len(set(made)) == len(made)


@given(st.one_of(st.text(), st.text(st.sampled_from("*/\\?\n\r\t \x1b\u202ea-#"), max_size=300)))
@example("*\\\n/ int main;")
@example("*??/\n/")
@example("/*/ */* **//")
def test_nothing_leaves_a_comment(text: str) -> None:
    lines = CodeLines()
    with lines.block(""):
        lines.comment(text)
    made = str(lines).removeprefix("{\n").removesuffix("\n}")
    assert re.fullmatch(r"[\n -~]*", made)
    assert "\\" not in made
    assert "?" not in made
    assert (made.strip()[:2], made[-2:]) == ("/*", "*/")
    assert made.count("*/") == made.count("/*") == 1


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("lv3", "lv3"), ("x.y", "x_y"), ("3d", "v_3d"), ("int", "v_int"), ("for", "for_2"), ("expf", "expf_2"),
     ("", "value"), ("kernel_a", "v_kernel_a"), ("ä", "value"), ("__x__", "x"), ("SIZE_MAX", "v_SIZE_MAX")],
)  # fmt: skip
def test_names_stay_as_they_are_where_c_allows(wanted: str, name: str) -> None:
    assert Names().new(wanted) == name


@given(st.floats(width=32))
def test_single_precision_literals_read_back_as_the_same_number(value: float) -> None:
    text = c_real(value, "float32")
    if math.isnan(value):
        assert text == "NAN"
    elif math.isinf(value):
        assert text in ("INFINITY", "(-INFINITY)")
    else:
        assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?f", text)
        assert struct.pack("f", float(text[:-1])) == struct.pack("f", value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_double_precision_literals_read_back_as_the_same_number(value: float) -> None:
    assert float(c_real(value, "float64")) == value


@pytest.mark.parametrize("kind", LIMITS)
def test_the_smallest_integers_are_expressions(kind: str) -> None:
    least = -(2 ** LIMITS[kind])
    text = re.sub(r"INT64_C\((-?\d+)\)", r"\1", c_integer(least, kind))
    assert eval(text) == least
    assert "2147483648" not in text


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [(1, "bool", "true"), (0, "bool", "false"), (3, "uint32", "3u"), (3, "int64", "INT64_C(3)"),
     (3, "uint64", "UINT64_C(3)")],
)  # fmt: skip
def test_integers_have_the_suffix_of_their_type(value: int, kind: str, text: str) -> None:
    assert c_integer(value, kind) == text


def test_types_that_c_has_not_are_refused() -> None:
    assert (c_type("int8"), c_type("float32"), c_type("bool")) == ("int8_t", "float", "bool")
    with pytest.raises(UnsupportedError, match="values of type float16, C99 has no such type; try --target llvm"):
        c_type("float16")


def test_blocks_are_indented_and_functions_end() -> None:
    lines = CodeLines()
    with lines.function("void f(void)"), lines.block("if (a)"):
        lines.add("b();")
    assert str(lines) == "void f(void)\n{\n    if (a) {\n        b();\n    }\n}\n"


@given(st.text(alphabet="ab*/ \n", max_size=300))
def test_no_text_ends_a_comment_early(text: str) -> None:
    lines = CodeLines()
    lines.comment(text)
    assert str(lines).count("*/") == 1
    assert str(lines).endswith("*/")


@given(st.lists(st.sampled_from(["a", "f(x, y)", "bb[i * 3 + k]", "&&", "||", "?", ":", "+", "="]), max_size=60))
def test_long_lines_are_broken_without_losing_anything(words: list[str]) -> None:
    line = " ".join(words)
    broken = wrapped(line, "    ")
    assert " ".join(" ".join(broken).split()) == " ".join(line.split())
    assert all(len(part) <= MOST_COLUMNS or not re.search(r", | && | \|\| ", part[:MOST_COLUMNS]) for part in broken)


@given(st.text())
def test_names_of_networks_are_harmless(text: str) -> None:
    assert not set(plain(text)) & set('"\\/*\n\r\0')
