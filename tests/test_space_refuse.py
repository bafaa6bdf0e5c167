"""What a module has that no time counts is refused: loops, blocks, annotations, functions, decided and lowered."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import prod
from random import Random
from typing import Any

import pytest
import tvm_ffi
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax, tirx
from tvm.ir import IRModule
from tvm.s_tir import Schedule
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.s_tir.transform import StmtSimplify
from tvm.script import from_source

from cyclecast.decisions import default_mapping, grant
from cyclecast.device import Device
from cyclecast.errors import FitError, MappingError, ScheduleError
from cyclecast.mapping import Mapping
from cyclecast.space import decided_schedule, lowered, read
from kernels import Window, conv, dense, depthwise

pytestmark = pytest.mark.tvm

TINY = Device.load("tiny")
KERNEL = conv(size=(5, 5), channels=3, filters=7, kernel=(3, 3), window=Window(1, 1))
DEFAULT = default_mapping(KERNEL.workload, TINY)
CONV = "conv2d_nchw"
REFUSED = (ScheduleError, FitError, MappingError)


def decided(mapping: Mapping = DEFAULT) -> Any:
    return decided_schedule(KERNEL.function, TINY, mapping).mod


LOWERED = lowered(decided(), TINY)


def changed(module: Any, kind: Any, which: Callable[[Any], bool], change: Callable[[Any], Any]) -> Any:
    """The module with the first node of a kind of which this is true, innermost first, changed."""
    function = module["main"]
    done: list[Any] = []

    def visit(node: Any) -> Any:
        if done or not which(node):
            return node
        done.append(node)
        return change(node)

    body = tvm_ffi.structural_map(function.body, [(kind, visit)])
    assert done
    return IRModule({"main": function.with_body(body)})


def loop(source: Any, **fields: Any) -> Any:
    """A loop with other fields."""
    names = ("loop_var", "min", "extent", "kind", "body", "thread_binding", "annotations", "step")
    return tirx.For(**({name: getattr(source, name) for name in names} | fields))


def block(source: Any, **fields: Any) -> Any:
    names = ("iter_vars", "reads", "writes", "name_hint", "body", "init", "alloc_buffers", "match_buffers")
    return SBlock(**({name: getattr(source, name) for name in (*names, "annotations")} | fields))


def many(statement: Any, times: int = 50, step: int | None = None) -> Any:
    """The statement in a loop that nothing asks for."""
    return tirx.For(tirx.Var("again", "int64"), 0, times, tirx.ForKind.SERIAL, statement, step=step)


def of(name: str) -> Callable[[Any], bool]:
    return lambda realize: str(realize.block.name_hint) == name


def of_loop(name: str) -> Callable[[Any], bool]:
    return lambda source: str(source.annotations.get("cim.loop")) == name


def nests(module: Any, change: Callable[[list[Any]], list[Any]]) -> Any:
    """The module with the statements of its root block changed."""
    function = module["main"]
    root = function.body.block
    body = tirx.SeqStmt(change(list(root.body.seq)))
    return IRModule({"main": function.with_body(SBlockRealize([], True, block(root, body=body)))})


def without_mark(statement: Any) -> Any:
    def visit(source: Any) -> Any:
        return block(source, annotations={})

    return tvm_ffi.structural_map(statement, [(SBlock, visit)])


def annotated(module: Any, name: str, value: Any, at: str = CONV) -> Any:
    schedule = Schedule(module)
    target = schedule.get_sblock(at)
    if name in schedule.get(target).annotations:
        schedule.unannotate(target, name)
    schedule.annotate(target, name, value)
    return schedule.mod


def with_beside(other: Any) -> Any:
    module = decided()
    return IRModule({"main": module["main"], "beside": other})


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
        lambda: changed(decided(), tirx.For, lambda f: str(f.loop_var.name) == "ff", lambda f: loop(f, extent=3)),
        f"block {CONV}: 675 runs of its loops",
    ),
    "a loop that begins at 1": (
        lambda: changed(decided(), tirx.For, lambda f: str(f.loop_var.name) == "ff", lambda f: loop(f, min=1)),
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
        lambda: from_source(re.sub(r'(pad_temp = .*"int8")\)', r'\1, scope="global.cim_input")', decided().script())),
        f"block {CONV}: pad_temp in scope global.cim_input",
    ),
    "a decision on another block": (
        lambda: annotated(decided(), "cim.word_lines", 4, at="pad_temp"),
        "block pad_temp: cim.word_lines: 4, no sketch is marked on it",
    ),
    "a decision on the root": (
        lambda: annotated(decided(), "cim.word_lines", 4, at="root"),
        "block root: cim.word_lines: 4, no sketch is marked on it",
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
    schedule.compute_inline(schedule.get_sblock("pad_temp"))
    assert read(schedule.mod, TINY).to_json() | {"workload": None} == DEFAULT.to_json() | {"workload": None}


def test_the_same_body_with_other_iterators_is_another_workload() -> None:
    """The cache of contractions holds bodies: what it says of one must not be said of another block that shares it."""
    read(decided(), TINY)
    shorter = changed(decided(), SBlock, lambda source: str(source.name_hint) == CONV, _three_filters)
    with pytest.raises(ScheduleError, match=f"block {CONV}: 4725 runs of its loops"):
        read(shorter, TINY)


def _three_filters(source: Any) -> Any:
    each = list(source.iter_vars)
    each[1] = tirx.IterVar((0, 3), each[1].var, each[1].iter_type)
    return block(source, iter_vars=each)


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


def _one_or_many(statements: list[Any]) -> Any:
    return statements[0] if len(statements) == 1 else tirx.SeqStmt(statements)


def with_statements_of(name: str, keep: slice) -> Any:
    """The lowered module with only some of the statements in a loop."""
    return changed(
        LOWERED, tirx.For, of_loop(name), lambda source: loop(source, body=_one_or_many(list(source.body.seq)[keep]))
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
    "half a loop": (lambda: extent("time.pixel", 12), "12 temporal steps"),
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
    "more channels": (lambda: said(lambda value: with_channels(value, 30)), "tiles take exactly"),
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
    "a number for a workload": (lambda: noted("cim.workload", lambda text: 3), "cim.workload is 3, it is a text"),
    "an extent in words": (lambda: said(lambda v: with_channels(v, "3")), "cim.workload is "),  # type: ignore[arg-type]
    "a kernel that is none": (lambda: noted("cim.kernel", lambda text: "eJwDAAAAAAE="), "cim.kernel is 'eJwDAAAAAAE='"),
    "a kernel that is not even text": (lambda: noted("cim.kernel", lambda text: "?"), "cim.kernel is '?'"),
    "another implementation": (lambda: noted("cim.implementation", lambda text: "behaviour"), "is not as lowered"),
    "an unknown implementation": (lambda: noted("cim.implementation", lambda text: "mine"), "no cim.implementation of"),
    "a window that is none": (lambda: form(packed=1, window=[2, 1]), "1 temporal steps of 4"),
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
    mapping = grant(default_mapping(KERNEL.workload, TINY).workload, TINY, {})
    schedule = decided_schedule(KERNEL.function, TINY, mapping).mod
    module = lowered(schedule, other)
    if read(schedule, other).to_json()["levels"] == mapping.to_json()["levels"]:
        with pytest.raises(ScheduleError, match=re.escape(message)) as refusal:
            read(module, TINY)
        assert "lowering the decided module again, for this device" in str(refusal.value)
    faster = TINY.vary("array.read", "1 ns")
    assert read(LOWERED, faster) == DEFAULT  # what a schedule does not depend on may differ


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
            return _one_or_many(edits[way])
        case SBlockRealize():
            annotations = dict(node.block.annotations) | {"cim.workload": "{}"}
            return (
                many(node, 2),
                many(node, 50),
                tirx.SeqStmt([node, node]),
                tirx.IfThenElse(T_FALSE, node, None),
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


T_FALSE = tirx.IntImm("bool", 0)


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
    except REFUSED as error:
        assert "\n" not in str(error)
        return
    decided_form = "cim.sketch" in other.script()
    temporal = found.temporal
    steps = temporal.group * temporal.row * temporal.column * temporal.pixel
    assert runs(other) == (found.workload.macs if decided_form else found.arrays * steps)
    if not decided_form or found.workload == mapping.workload:
        assert found == mapping or decided_form
