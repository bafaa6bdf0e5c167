"""A table of operators with their errors."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from cyclecast.terminal import Table

MOST = 10
"""Most operators with constant weights in the table."""


def layers_table(info: dict[str, Any]) -> RenderableType:
    """The operators with constant weights and the largest errors, and the first operator that departs."""
    products = [each for each in info["operators"] if each["is_product"]]
    table = Table(title="errors of single operators, as shares of the root mean square", title_justify="left")
    for column in ("operator", "kind"):
        table.add_column(column, overflow="fold")
    for column in ("error", "quantisation explains"):
        table.add_column(column, justify="right")
    for each in sorted(products, key=lambda each: -each["error"])[:MOST]:
        table.add_row(each["name"], each["operator"], f"{each['error']:.3%}", f"{each['explained']:.3%}")
    others = len(info["operators"]) - len(products)
    text = f"no operator departs by more than quantisation explains: {len(products)} with weights, {others} others"
    first = info["first"]
    if first:
        count = sum(each["departs"] for each in info["operators"])
        text = (
            f"first operator that departs: {first['name']} ({first['operator']}), by {first['error']:.3%} where "
            f"quantisation explains {first['explained']:.3%}; {count} in all"
        )
    note = "" if info["same_program"] else (
        "\nwarning: module.so computes other values: give --calibrate, --activations and --weights as to tune"
    )  # fmt: skip
    return Group(*((table,) if products else ()), Text(text + note))
