"""`torch.export` programs as data: the allowed strings, field by field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclecast.frontend.readers._pt2_program import FieldError, program_as_data


def with_target(text: str) -> Any:
    return program_as_data({"graph_module": {"graph": {"nodes": [{"target": text}]}}})


def expression(text: str) -> str:
    """The text that PyTorch gets for an extent that is written like this."""
    given = program_as_data({"sym_int_values": {"n": {"as_expr": {"expr_str": text}}}})
    return str(given["sym_int_values"]["n"]["as_expr"]["expr_str"])


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.relu.__getattr__",
        "torch.ops.aten.__getattr__.__func__",
        "torch.ops.aten.__init__.__getattribute__",
        "torch.ops.aten.__class__.__subclasses__",
        "torch.ops.aten.relu.__call__",
        "torch.ops.aten.__and__.__self__",
        "torch.ops.aten.from_file.default",
        "torch.ops.higher_order.cond.__call__",
        "torch.ops.aten.relu.default.__call__",
        "torch.ops.load_library",
        "_operator.attrgetter",
        "_operator.call",
        "torch.ops.aten.relu.default\n",
    ],
)
def test_attributes_of_python_are_no_operators(target: str) -> None:
    """PyTorch looks a target up step by step, and calls whatever it comes to."""
    with pytest.raises(FieldError, match="is no operator of networks"):
        with_target(target)


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.__and__.Tensor", "torch.ops.aten.__lshift__.Scalar", "torch.ops.aten._softmax.default",
        "torch.ops.aten._to_copy.default", "torch.ops.quantized_decomposed.quantize_per_tensor.default",
        "torch.ops.prims.convert_element_type.default", "_operator.getitem", "torch.ops.aten.upsample_nearest2d.vec",
    ],
)  # fmt: skip
def test_operators_of_networks(target: str) -> None:
    assert with_target(target)["graph_module"]["graph"]["nodes"][0]["target"] == target


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2*s0 + 1", "2 * s0 + 1"),
        ("s0 # a remark", "s0"),
        ("1e-999999999", "0.0"),
        ("Mod('s0\\\n', 's1')", "Mod('s0', 's1')"),  # sympy takes out line ends, and the quote would stay open
        ("Symbol('\\x73\\x30', positive=True)", "Symbol('s0', positive=True)"),
    ],
)
def test_an_expression_is_written_anew(text: str, written: str) -> None:
    assert expression(text) == written


@pytest.mark.parametrize(
    "text", ["1e-300", "s0 ** 9", "f's0'", "s0 if s1 else s2", "s99999999", "'s0'.x", "s0[1]", "(s0 := 1)", "s0!"]
)
def test_expressions_that_take_long_or_more_than_words(text: str) -> None:
    with pytest.raises(FieldError, match="an expression of unknown words"):
        expression(text)


@given(
    st.recursive(st.sampled_from(["s0", "s1", "3", "u2"]), lambda part: st.tuples(part, st.sampled_from("+-*"), part))
)
def test_sums_and_products_stay_the_same(tree: Any) -> None:
    def text(part: Any) -> str:
        return part if isinstance(part, str) else f"({text(part[0])}{part[1]}{text(part[2])})"

    values = {"s0": 5, "s1": 7, "u2": 11}
    assert eval(expression(text(tree)), {}, values) == eval(text(tree), {}, values)


@pytest.mark.parametrize("name", ["u999999999999", "x=1", "", "S0"])
def test_ranges_of_symbols_that_pytorch_would_count_up_to(name: str) -> None:
    with pytest.raises(FieldError):
        program_as_data({"range_constraints": {name: {"min_val": 0, "max_val": 5}}})
