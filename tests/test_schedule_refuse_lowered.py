"""Lowered modules with parts that their loops do not show, or with false notes, are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import tvm_ffi
from tvm import tirx
from tvm.ir import IRModule
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.s_tir.transform import StmtSimplify
from tvm.script import from_source

from altered import (
    CONV,
    DEFAULT,
    KERNEL,
    LOWERED,
    REFUSED,
    TINY,
    block,
    changed,
    loop,
    many,
    of,
    of_loop,
    one_or_many,
)
from cyclecast.errors import ScheduleError
from cyclecast.mapspace import grant, requests
from cyclecast.schedule import decided_schedule, lowered, read
from cyclecast.schedule._read import on_device

pytestmark = pytest.mark.tvm


def noted(name: str, change: Callable[[Any], Any]) -> Any:
    """The lowered module with another note."""

    def visit(source: Any) -> Any:
        return block(source, annotations=dict(source.annotations) | {name: change(source.annotations[name])})

    return changed(LOWERED, SBlock, lambda source: name in source.annotations, visit)


def said(change: Callable[[Any], Any], name: str = "cim.workload") -> Any:
    """The lowered module with a note that lies."""

    def lie(text: str) -> str:
        value = json.loads(str(text))
        change(value)
        return json.dumps(value)

    return noted(name, lie)


def with_channels(value: Any, count: int) -> None:
    value["axes"][4]["extent"] = count


def form(**value: Any) -> Any:
    def visit(source: Any) -> Any:
        return block(source, annotations=dict(source.annotations) | {"cim.form": json.dumps(value)})

    return changed(LOWERED, SBlock, lambda source: "cim.workload" in source.annotations, visit)


def renamed(loops: dict[str, str | None]) -> Any:
    """The lowered module with loops bound otherwise, or not at all."""

    def visit(source: Any) -> Any:
        name = str(source.annotations.get("cim.loop"))
        if name not in loops:
            return source
        return loop(source, annotations={} if loops[name] is None else {"cim.loop": loops[name]})

    function = LOWERED["main"]
    return IRModule({"main": function.with_body(tvm_ffi.structural_map(function.body, [(tirx.For, visit)]))})


def around_the_product(change: Callable[[Any], Any]) -> Any:
    return changed(LOWERED, SBlockRealize, of(f"{CONV}_update_o"), change)


def extent(name: str, value: int) -> Any:
    return changed(LOWERED, tirx.For, of_loop(name), lambda source: loop(source, extent=value))


def swapped() -> Any:
    """A lowered module with two neighbouring loops the other way round."""
    wide = TINY.vary("levels.pe.count", 4)
    mapping = grant(KERNEL.workload, wide, {"pe.column": 2, "pe.row": 2, "cu.row": 1, "array.row": 2})
    module = lowered(decided_schedule(KERNEL.function, wide, mapping).mod, wide)
    assert read(module, wide) == mapping

    def turn(source: Any) -> Any:
        return loop(source.body, body=loop(source, body=source.body.body))

    return changed(module, tirx.For, of_loop("pe.column"), turn)


def with_statements_of(name: str, keep: slice) -> Any:
    """The lowered module with only some of the statements in a loop."""
    return changed(
        LOWERED, tirx.For, of_loop(name), lambda source: loop(source, body=one_or_many(list(source.body.seq)[keep]))
    )


LOW: dict[str, tuple[Callable[[], Any], str]] = {
    "a loop of 50 around the product": (
        lambda: around_the_product(many),
        "module: a loop again of 50 around the product, no cim.loop binds it",
    ),
    "a loop of 50 that is bound": (
        lambda: around_the_product(lambda s: loop(many(s), annotations={"cim.loop": "array.row"})),
        "module: two loops around the product are array.row",
    ),
    "a loop of 50 around the programming": (
        lambda: changed(LOWERED, SBlockRealize, of("w_reindex_pad_global.cim_array"), many),
        "module: loop again of 50 is not as lowered",
    ),
    "two loops of one name": (
        lambda: renamed({"cu.row": "array.row"}),
        "module: two loops around the product are array.row",
    ),
    "a loop without its name": (lambda: renamed({"cu.row": None}), "no cim.loop binds it"),
    "a loop of another axis": (lambda: renamed({"cu.row": "cu.rows"}), "cim.loop is 'cu.rows', it must be LEVEL.AXIS"),
    "loops of exchanged names": (
        lambda: renamed({"cu.row": "array.row", "array.row": "cu.row"}),
        "is not as lowered",
    ),
    "half a loop": (lambda: extent("time.pixel", 12), "temporal factor 12"),
    "the product twice": (
        lambda: around_the_product(lambda s: tirx.SeqStmt([s, s])),
        "is not as lowered",
    ),
    "the input not loaded": (lambda: with_statements_of("time.pixel", slice(1, 2)), "is not as lowered"),
    "the arrays not written": (lambda: with_statements_of("time.row", slice(1, 2)), "is not as lowered"),
    "the product removed": (lambda: with_statements_of("time.row", slice(0, 1)), "neither decisions nor lowered"),
    "the sums not zeroed": (lambda: with_statements_of("time.column", slice(1, 3)), "is not as lowered"),
    "a condition": (
        lambda: around_the_product(lambda s: tirx.IfThenElse(s.iter_values[1] < 3, s, None)),
        "is not as lowered",
    ),
    "a mean of the update": (
        lambda: from_source(LOWERED.script().replace("for r, f in T.grid(T.int64(8)", "for r, f in T.grid(T.int64(4)")),
        "loop r of 4 (extent.value) is not as lowered",
    ),
    "a buffer in another scope": (
        lambda: from_source(LOWERED.script().replace('scope="global.cim_input"', 'scope="global.cim_output"')),
        "is not as lowered",
    ),
    "more channels": (lambda: said(lambda value: with_channels(value, 30)), "it must be 9 for 34 tiles"),
    "one channel more that fits": (
        lambda: said(lambda value: value["axes"][1].update(extent=8)),
        "computes something else",
    ),
    "fewer bits": (
        lambda: said(lambda value: value.update(input_bits=4)),
        "module: lowered for inputs of 4 bits and weights of 8, tiny takes 8 and 8",
    ),
    "another stride": (lambda: said(lambda value: value["slides"][0].update(stride=2)), "computes something else"),
    "no slides": (lambda: said(lambda value: value.update(slides=[])), "computes something else"),
    "broken JSON": (lambda: noted("cim.workload", lambda text: str(text)[:-3]), "cim.workload is '{"),
    "a list for a workload": (
        lambda: noted("cim.workload", lambda text: "[]"),
        "cim.workload is '[]', it cannot be read",
    ),
    "a number for a workload": (lambda: noted("cim.workload", lambda text: 3), "cim.workload is 3, it must be a text"),
    "an extent in words": (lambda: said(lambda v: with_channels(v, "3")), "cim.workload is "),  # type: ignore[arg-type]
    "a kernel that is none": (lambda: noted("cim.kernel", lambda text: "eJwDAAAAAAE="), "cim.kernel is 'eJwDAAAAAAE='"),
    "a kernel that is not even text": (lambda: noted("cim.kernel", lambda text: "?"), "cim.kernel is '?'"),
    "another implementation": (lambda: noted("cim.implementation", lambda text: "behaviour"), "is not as lowered"),
    "an unknown implementation": (lambda: noted("cim.implementation", lambda text: "mine"), "no cim.implementation of"),
    "a window that is none": (lambda: form(packed=1, window=[2, 1]), "temporal factor 1 with spatial factor 4"),
    "packed groups that are none": (lambda: form(packed=2, window=[]), "packed: 2, 1 to 1 are possible"),
    "packed by nothing": (lambda: form(packed=0, window=[]), "cim.form is "),
    "a form that says nothing": (lambda: form(packed=1, window=[]), "is not as lowered"),
}


@pytest.mark.parametrize("what", LOW)
def test_a_lowered_module_with_more_or_less_than_its_mapping_is_refused(what: str) -> None:
    make, message = LOW[what]
    with pytest.raises(REFUSED, match=re.escape(message)) as refusal:
        read(make(), TINY)
    assert "\n" not in str(refusal.value)


def test_loops_in_another_order_are_refused() -> None:
    with pytest.raises(ScheduleError, match="is not as lowered"):
        read(swapped(), TINY.vary("levels.pe.count", 4))


OTHERS: dict[str, tuple[dict[str, object], str]] = {
    "rows": ({"array.rows": 16, "array.active_rows": 16}, "lowered for tiny with word lines 16, tiny has word lines 8"),
    "columns": ({"array.cols": 64}, "with filters"),
    "a level": ({"levels.pe.count": 8}, "levels {'pe': 8,"),
    "bits": ({"bits.activation": 4}, "lowered for tiny with bits [4, 8], tiny has bits [8, 8]"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_module_lowered_for_another_device_is_refused_although_it_fits(what: str) -> None:
    changes, message = OTHERS[what]
    other = TINY.vary_all(changes)
    mapping = grant(on_device(KERNEL.workload, other), other, requests(DEFAULT))
    module = lowered(decided_schedule(KERNEL.function, other, mapping).mod, other)
    assert replace(mapping, workload=DEFAULT.workload) == DEFAULT
    assert read(module, other) == mapping
    with pytest.raises(ScheduleError, match=re.escape(message)) as refusal:
        read(module, TINY)
    assert "lowering the decided module again, for this device" in str(refusal.value)


def test_a_module_is_read_on_a_device_that_differs_in_speed_alone() -> None:
    assert read(LOWERED, TINY.vary("array.read", "1 ns")) == DEFAULT


def test_loops_of_one_turn_may_be_gone() -> None:
    """As a pass that simplifies may leave a module: the loops that are left say the same."""
    function = LOWERED["main"]

    def dropped(source: Any) -> Any:
        if int(source.extent) > 1:
            return source
        zero = tirx.IntImm(str(source.loop_var.ty), 0)
        return tvm_ffi.structural_map(source.body, [(tirx.Var, lambda v: zero if v.same_as(source.loop_var) else v)])

    body = tvm_ffi.structural_map(function.body, [(tirx.For, dropped)])
    module = IRModule({"main": function.with_body(body)})
    assert module.script().count("cim.loop") < LOWERED.script().count("cim.loop")
    assert read(module, TINY) == DEFAULT
    assert read(StmtSimplify()(module), TINY) == DEFAULT
