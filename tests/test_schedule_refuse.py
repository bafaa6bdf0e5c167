"""Parts of a decided module that no timing counts are refused: loops, blocks, annotations, functions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from tvm import relax, tirx
from tvm.ir import IRModule, Range
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.script import from_source

from altered import (
    CONV,
    DEFAULT,
    KERNEL,
    TINY,
    ZERO,
    annotated,
    block,
    changed,
    decided,
    filters_loop,
    loop,
    many,
    nests,
    of,
    text,
    with_beside,
    without_mark,
)
from cyclecast.errors import ScheduleError
from cyclecast.schedule import decided_schedule, read

pytestmark = pytest.mark.tvm


def relax_function() -> Any:
    x = relax.Var("x", relax.TensorType((2,), "int8"))
    return relax.Function([x], x, relax.TensorType((2,), "int8"))


def guarded(realize: Any) -> Any:
    return tirx.IfThenElse(realize.iter_values[1] < 3, realize, None)


DECIDED: dict[str, tuple[Callable[[], Any], str]] = {
    "a loop of 50 around the product": (
        lambda: changed(decided(), SBlockRealize, of(CONV), many),
        f"block {CONV}: a loop again of 50 around it",
    ),
    "a loop of 50 around everything": (
        lambda: IRModule({"main": (f := decided()["main"]).with_body(many(f.body))}),
        "block root: a loop again of 50 around it",
    ),
    "a loop of 50 around the padding": (
        lambda: changed(decided(), SBlockRealize, of("pad_temp"), many),
        "block pad_temp: a loop again of 50 around it",
    ),
    "a loop in steps of 2": (
        lambda: changed(decided(), SBlockRealize, of(CONV), lambda realize: many(realize, 2, step=2)),
        "module: loop again in steps of",
    ),
    "half a loop": (
        lambda: filters_loop(extent=3),
        f"block {CONV}: 2025 runs of its loops",
    ),
    "a loop that begins at 1": (
        lambda: filters_loop(min=1),
        "module: loop ff from",
    ),
    "a loop that is bound while decided": (
        lambda: changed(
            decided(),
            tirx.For,
            lambda f: str(f.loop_var.name) == "ff",
            lambda f: loop(f, annotations={"cim.loop": "x"}),
        ),
        "module: loop ff with cim.loop: x",
    ),
    "a condition on the block": (
        lambda: changed(
            decided(),
            SBlockRealize,
            of(CONV),
            lambda realize: SBlockRealize(realize.iter_values, realize.iter_values[1] < 3, realize.block),
        ),
        f"block {CONV}: a condition ff < ",
    ),
    "a condition around the block": (
        lambda: changed(decided(), SBlockRealize, of(CONV), guarded),
        "module: a condition under nn, ff",
    ),
    "a second contraction without a mark": (
        lambda: nests(decided(), lambda each: [*each, without_mark(each[-1])]),
        f"block {CONV}: a sum without a mark",
    ),
    "a second contraction with a mark": (
        lambda: nests(decided(), lambda each: [*each, each[-1]]),
        f"module: 2 marked blocks in one function ({CONV}, {CONV})",
    ),
    "the product removed": (
        lambda: nests(decided(), lambda each: [each[0], each[0]]),
        "module: neither decisions nor lowered loops",
    ),
    "a sum of something else": (
        lambda: from_source(
            re.sub(
                r"(= )(conv2d_nchw)(\[v_nn, v_ff, v_yy, v_xx\] \+)", r"\1T.max(\2[0, 0, 0, 0], 1) +", decided().script()
            )
        ),
        f"block {CONV}: a product added to",
    ),
    "a padded input in another scope": (
        lambda: text(decided(), r'(pad_temp = .*"int8")\)', r'\1, scope="global.cim_input")'),
        f"block {CONV}: pad_temp in scope global.cim_input",
    ),
    "a decision on another block": (
        lambda: annotated(decided(), "cim.word_lines", 4, at="pad_temp"),
        "block pad_temp: cim.word_lines: 4, only a marked block has decisions",
    ),
    "a decision on the root": (
        lambda: annotated(decided(), "cim.word_lines", 4, at="root"),
        "block root: cim.word_lines: 4, only a marked block has decisions",
    ),
    "a decision that there is not": (
        lambda: annotated(decided(), "cim.wordlines", 4),
        f"block {CONV}: cim.wordlines is no decision, there are cim.array.column",
    ),
    "a level that there is not": (
        lambda: annotated(decided(), "cim.core.row", 2),
        f"block {CONV}: cim.core.row is no decision",
    ),
    "a sketch that there is not": (
        lambda: annotated(decided(), "cim.sketch", "im2col+winograd"),
        f"block {CONV}: cim.sketch is 'im2col+winograd', sketches are im2col and windows, pack, order added",
    ),
    "a sketch twice": (
        lambda: annotated(decided(), "cim.sketch", "im2col+pack+pack"),
        "cim.sketch is 'im2col+pack+pack'",
    ),
    "a sketch that is a number": (lambda: annotated(decided(), "cim.sketch", 3), "cim.sketch is "),
    "no word line": (
        lambda: annotated(decided(), "cim.word_lines", 0),
        f"block {CONV}: cim.word_lines is 0, it must be an integer from 1 on",
    ),
    "less than no filter": (lambda: annotated(decided(), "cim.filters", -1), "cim.filters is -1, it must be"),
    "a factor in words": (lambda: annotated(decided(), "cim.pe.row", "two"), "cim.pe.row is 'two', it must be"),
    "half a factor": (lambda: annotated(decided(), "cim.pe.row", 1.5), "cim.pe.row is "),
    "an order beyond both": (
        lambda: annotated(decided(), "cim.input_stationary", 2),
        "cim.input_stationary is 2, it must be 0 or 1",
    ),
    "a second PrimFunc": (lambda: with_beside(decided()["main"]), "module: 2 functions to read"),
    "a Relax function beside": (lambda: with_beside(relax_function()), "module: 2 functions to read"),
    "a Relax function alone": (lambda: IRModule({"main": relax_function()}), "module: a function of Function"),
}


@pytest.mark.parametrize("what", DECIDED)
def test_a_decided_module_with_more_or_less_than_its_mapping_is_refused(what: str) -> None:
    make, message = DECIDED[what]
    with pytest.raises(ScheduleError, match=re.escape(message)):
        read(make(), TINY)


def test_a_request_beyond_the_device_is_capped_however_large() -> None:
    assert read(annotated(decided(), "cim.word_lines", 2**31 - 1), TINY).word_lines == TINY.array.rows


def test_loops_that_are_split_fused_or_turned_are_read_as_before() -> None:
    schedule = decided_schedule(KERNEL.function, TINY, DEFAULT)
    product = schedule.get_sblock(CONV)
    _, filters, y, x, channels, *_ = schedule.get_loops(product)
    schedule.split(schedule.fuse(y, x), [5, 5])
    schedule.reorder(channels, filters)
    assert read(schedule.mod, TINY).to_json() | {"workload": None} == DEFAULT.to_json() | {"workload": None}


def test_the_same_body_with_other_iterators_is_another_workload() -> None:
    """The cache of contractions holds bodies: what it says of one must not be said of another block that shares it."""
    read(decided(), TINY)
    shorter = changed(decided(), SBlock, lambda source: str(source.name_hint) == CONV, _three_filters)
    with pytest.raises(ScheduleError, match=f"block {CONV}: 4725 runs of its loops"):
        read(shorter, TINY)


def _three_filters(source: Any) -> Any:
    each = list(source.iter_vars)
    each[1] = tirx.IterVar(Range(ZERO, tirx.IntImm("int64", 3)), each[1].var, each[1].iter_type)
    return block(source, iter_vars=each)
