"""The names in `__all__` exist and are sorted, and a star import gives the same."""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
NEEDS_TVM = ("csource", "executable", "frontend", "report", "schedule", "tvm", "workflow")


def module(file: Path) -> str:
    return ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def offered(file: Path) -> list[str] | None:
    """The list that a file assigns to `__all__`, if it does."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return [str(name) for name in ast.literal_eval(node.value)]
    return None


EXPORTS = {module(file): names for file in sorted(SOURCE.rglob("*.py")) if (names := offered(file)) is not None}


def style(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as ruff sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_the_public_packages_say_what_they_offer() -> None:
    assert {"cyclecast", "cyclecast.device", "cyclecast.timing", "cyclecast.simulator", "cyclecast.tvm"} <= set(EXPORTS)


@pytest.mark.parametrize("name", EXPORTS)
def test_exports_are_sorted_and_differ(name: str) -> None:
    assert EXPORTS[name] == sorted(set(EXPORTS[name]), key=style)


@pytest.mark.parametrize("name", EXPORTS)
def test_exports_are_there(name: str) -> None:
    if find_spec("tvm") is None and (name == "cyclecast" or name.split(".")[1] in NEEDS_TVM):
        pytest.skip("TVM is not installed")
    loaded = import_module(name)
    assert [export for export in EXPORTS[name] if not hasattr(loaded, export)] == []


@pytest.mark.parametrize("name", EXPORTS)
def test_exports_are_listed(name: str) -> None:
    """As completion and `help` need it, also before they are first used."""
    assert set(EXPORTS[name]) <= set(dir(import_module(name)))


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match=r"^module 'cyclecast' has no attribute 'tun'$"):
        import_module("cyclecast").tun  # noqa: B018
