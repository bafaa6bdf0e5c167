"""A module with a random change is refused, or read as what it computes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from random import Random
from typing import Any

import pytest
import tvm_ffi
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import tirx
from tvm.ir import IRModule
from tvm.s_tir.stmt import SBlockRealize

from altered import (
    KERNEL,
    NEVER,
    REFUSED,
    TINY,
    block,
    loop,
    many,
    one_or_many,
)
from cyclecast.mapspace import grant
from cyclecast.schedule import decided_schedule, lowered, read
from kernels import dense, depthwise

pytestmark = pytest.mark.tvm


KERNELS = [
    (KERNEL, {}),
    (depthwise(size=(4, 4), channels=4, multiplier=1, kernel=2), {"word_lines": 4, "filters": 1, "packed": 2}),
    (depthwise(size=(4, 4), channels=3, multiplier=1, kernel=3), {"window.i": 2, "word_lines": 8, "filters": 2}),
    (dense(batch=6, features=37, filters=23), {"input_stationary": 1, "word_lines": 4, "filters": 2}),
]
WRITABLE = TINY.vary("array.write.during_inference", True)
MODULES = [
    (form, mapping)
    for kernel, asked in KERNELS
    for mapping in [grant(kernel.workload, WRITABLE, asked)]
    for before in [decided_schedule(kernel.function, WRITABLE, mapping).mod]
    for form in (before, lowered(before, WRITABLE))
]


def runs(module: Any) -> int:
    """How often the product is computed: the product of the extents of all loops around it, if none is conditional."""
    found: list[int] = []

    def walk(node: Any, extents: tuple[int, ...]) -> None:
        match node:
            case tirx.For():
                walk(node.body, (*extents, int(node.extent)))
            case tirx.SeqStmt():
                for part in node.seq:
                    walk(part, extents)
            case SBlockRealize():
                arrays = any(str(region.source.scope()) == "global.cim_array" for region in node.block.reads)
                if arrays or "cim.sketch" in node.block.annotations:
                    found.append(prod(extents))
                else:
                    walk(node.block.body, extents)
            case _:
                pass

    walk(module["main"].body, ())
    assert len(found) == 1
    return found[0]


def mutated(module: Any, draw: Callable[[int], int]) -> Any:
    """The module with one random change of its structure."""
    function, kind = module["main"], (tirx.For, SBlockRealize, tirx.SeqStmt, tirx.IntImm)[draw(4)]
    nodes: list[Any] = []
    tvm_ffi.structural_walk(function.body, [(kind, nodes.append)])
    place, seen = draw(len(nodes)), [-1]

    def visit(node: Any) -> Any:
        seen[0] += 1
        return _altered(node, draw) if seen[0] == place else node

    return IRModule({"main": function.with_body(tvm_ffi.structural_map(function.body, [(kind, visit)]))})


def _altered(node: Any, draw: Callable[[int], int]) -> Any:
    way = draw(5)
    match node:
        case tirx.IntImm():
            return tirx.IntImm(str(node.ty), max(0, int(node.value) + (1, -1, 7, 50, 2)[way]))
        case tirx.SeqStmt():
            each = list(node.seq)
            at = draw(len(each))
            edits = ([*each, each[at]], each[:at] + each[at + 1 :], [each[at], *each], each[::-1], [*each, *each])
            return one_or_many(edits[way])
        case SBlockRealize():
            annotations = dict(node.block.annotations) | {"cim.workload": "{}"}
            return (
                many(node, 2),
                many(node, 50),
                tirx.SeqStmt([node, node]),
                tirx.IfThenElse(NEVER, node, None),
                SBlockRealize(node.iter_values, node.predicate, block(node.block, annotations=annotations)),
            )[way]
        case _:
            whole = int(node.extent)
            return (
                loop(node, extent=whole * 2),
                loop(node, extent=max(1, whole // 2)),
                loop(node, annotations={}),
                many(node, 3),
                loop(node, extent=whole + 1),
            )[way]


@settings(max_examples=150)
@given(which=st.integers(0, len(MODULES) - 1), seed=st.integers(0, 2**32 - 1))
def test_a_random_change_is_refused_or_timed_truly(which: int, seed: int) -> None:
    """What is read of a changed module has as many runs of its product as the changed module."""
    random = Random(seed)
    module, mapping = MODULES[which]
    try:
        other = mutated(module, random.randrange)
    except (RuntimeError, ValueError, TypeError):  # TVM holds it for no module at all
        return
    try:
        found = read(other, WRITABLE)
    except REFUSED:
        return
    decided_form = "cim.sketch" in other.script()
    temporal = found.temporal
    steps = temporal.group * temporal.row * temporal.column * temporal.pixel
    assert runs(other) == (found.workload.macs if decided_form else found.arrays * steps)
    if not decided_form or found.workload == mapping.workload:
        assert found == mapping or decided_form
