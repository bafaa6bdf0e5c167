"""Imports go down only; TVM stays behind its door."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
FILES = sorted(SOURCE.rglob("*.py"))

TABLE = Path(__file__).parents[1] / "docs" / "design.md"
ROWS = [
    set(found.split()) for found in re.findall(r"^ *\d+  ([a-z_ ]+?)(?: +<-.*)?$", TABLE.read_text(), re.MULTILINE)
][::-1]
"""The parts of the package, from the bottom up: the page is where they are listed."""
ROW = {part: row for row, parts in enumerate(ROWS) for part in parts}
APART, DOOR = 8, 5
"""The row whose parts do not import each other, and the one from which up TVM may be imported."""

VARIANTS = {
    "timing": ("_abilities", "_base", "_converters", "_costs", "_passes", "_sensitivity", "_stages"),
    "search": ("_base", "_laws", "_nodes", "_relaxation", "_result"),
    "search/mutators": ("_base",),
    "schedule/rules": ("_base",),
}
"""Folders with variants of one thing, which do not import each other; and their files that are none."""

PURE = [
    "cyclecast",
    "cyclecast.runner",
    "cyclecast.search.mutators",
    "cyclecast.workflow.database",
    "cyclecast.workflow.stored",
    *(f"cyclecast.{part}" for row in ROWS[:APART] for part in sorted(row) if part != "_tvm"),
]


def module(file: Path) -> str:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(file) for file in FILES}


def imports(file: Path) -> Iterator[str]:
    """The modules that a file imports anywhere in it, those inside functions included."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        yield from imports_of(node)


def imports_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "a relative import"
        names = (f"{node.module}.{alias.name}" for alias in node.names)
        yield from (name if name in MODULES else str(node.module) for name in names)


def part(name: str) -> str:
    """The file or folder of the package that a module belongs to."""
    pieces = name.split(".")
    return pieces[1] if len(pieces) > 1 else pieces[0]


def ours(file: Path) -> set[str]:
    """The other parts of the package that a file imports."""
    found = {part(name) for name in imports(file) if name.split(".")[0] == "cyclecast"}
    return found - {part(module(file))}


def offences(file: Path) -> list[str]:
    here = part(module(file))
    wrong = []
    for other in sorted(ours(file)):
        up = ROW[other] > ROW[here]
        sideways = ROW[other] == ROW[here] == APART
        if up or sideways:
            wrong.append(f"{here} imports {other}")
    return wrong


def relative(file: Path) -> str:
    return str(file.relative_to(SOURCE))


def test_every_part_has_a_row() -> None:
    assert {part(module(file)) for file in FILES} == set(ROW)


def test_imports_go_down_only() -> None:
    assert {relative(file): wrong for file in FILES if (wrong := offences(file))} == {}


def test_parts_of_a_row_import_each_other_in_one_direction() -> None:
    graph: dict[str, set[str]] = {}
    for file in FILES:
        graph.setdefault(part(module(file)), set()).update(ours(file))
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)  # a cycle raises


def test_the_rows_below_the_door_do_not_import_tvm() -> None:
    below = [file for file in FILES if ROW[part(module(file))] < DOOR]
    named = {relative(file): {name.split(".")[0] for name in imports(file)} for file in below}
    assert [name for name, packages in named.items() if packages & {"tvm", "tvm_ffi"}] == []


@pytest.mark.parametrize("folder", VARIANTS)
def test_a_variant_does_not_import_its_siblings(folder: str) -> None:
    shared, home = VARIANTS[folder], "cyclecast." + folder.replace("/", ".")
    allowed = {f"{home}.{name}" for name in shared}
    for file in sorted((SOURCE / "cyclecast" / folder).glob("_*.py")):
        if file.stem not in ("__init__", *shared):
            siblings = {name for name in imports(file) if name == home or name.startswith(f"{home}.")}
            assert siblings <= allowed, file.name


WATCHED = """
import importlib, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("tvm", "tvm_ffi"):
            with_torch = sys.modules.get("torch", "") is not None
            raise SystemExit(f"{name}{' with PyTorch' if with_torch else ''}")

sys.meta_path.insert(0, Watch())
for module in sys.argv[1:]:
    try:
        importlib.import_module(module)
        print(module, "nothing")
    except SystemExit as stop:
        print(module, stop)
    for name in [name for name in sys.modules if name.split(".")[0] == "cyclecast"]:
        del sys.modules[name]
"""


def first_of_tvm(names: list[str]) -> dict[str, str]:
    """What each module imports of TVM first, in a process that has nothing of it, and whether with PyTorch."""
    done = subprocess.run([sys.executable, "-c", WATCHED, *names], capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_importing_a_pure_layer_does_not_load_tvm() -> None:
    names = [name for name in PURE if name in MODULES]
    assert first_of_tvm(names) == dict.fromkeys(names, "nothing")


def test_tvm_is_imported_through_its_door_whatever_comes_first() -> None:
    """It imports PyTorch otherwise: 1.5 seconds and 200 MB that no user asked for."""
    names = sorted({f"cyclecast.{part}" for row in ROWS[DOOR:-1] for part in row} & MODULES)
    found = first_of_tvm(names)
    assert set(found) == set(names)
    assert set(found.values()) == {"nothing", "tvm"}


def test_the_check_itself_finds_offences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", tmp_path)
    file = tmp_path / "cyclecast" / "timing" / "_new.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import tvm.ir\nfrom cyclecast import plugins\nfrom cyclecast.workflow import tuning\n"
        "from cyclecast.search._base import Strategy\n"
        "def late() -> None:\n    from cyclecast.placement import place\n"
    )
    assert offences(file) == ["timing imports placement", "timing imports search", "timing imports workflow"]
    assert "tvm.ir" in set(imports(file))


def at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a module, save those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            yield node
            yield from at_run_time(node)


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph: dict[str, set[str]] = {}
    for file in FILES:
        nodes = at_run_time(ast.parse(file.read_text(encoding="utf-8")))
        named = {name for node in nodes for name in imports_of(node)}
        graph[module(file)] = (named & MODULES) - {module(file)}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)  # a cycle raises
