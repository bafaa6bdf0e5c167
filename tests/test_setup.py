"""The project's own set-up: pins, targets and what continuous integration calls."""

from __future__ import annotations

import os
import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "requirements").glob("*.txt"))


def lines(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line and not line.startswith("#")]


def pins(*names: str) -> dict[str, Version]:
    found = [line.split("==") for name in names for line in lines(ROOT / "requirements" / f"{name}.txt")]
    return {canonicalize_name(name): Version(version) for name, version in found}


def test_there_are_five_sets() -> None:
    assert [file.stem for file in FILES] == ["demo", "docs", "models", "run", "test"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_pin_is_exact(file: Path) -> None:
    loose = [line for line in lines(file) if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)]
    assert loose == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_file_holds_an_address_or_an_option(file: Path) -> None:
    assert re.findall(r"\w+://|@|^-|--hash|file:", "\n".join(lines(file)), re.MULTILINE) == []


def test_no_package_is_pinned_twice() -> None:
    names = [canonicalize_name(line.split("==")[0]) for file in FILES for line in lines(file)]
    assert sorted(set(names)) == sorted(names)


def test_ffi_stays_below_the_release_that_cannot_store_schedules() -> None:
    assert Version("0.1.14") <= pins("run")["apache-tvm-ffi"] < Version("0.1.15.dev0")


def test_pins_meet_what_the_project_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["tvm"]]
    declared += project["build-system"]["requires"]
    pinned = pins("run")
    wrong = [text for text in declared if not met(Requirement(text), pinned)]
    assert wrong == []


@pytest.mark.parametrize("sets", [("run",), ("run", "test"), ("run", "test", "docs")], ids=" and ".join)
def test_no_transitive_package_is_left_to_chance(sets: tuple[str, ...]) -> None:
    pinned = pins(*sets)
    wanted = [(name, Requirement(text)) for name in pinned for text in declared_by(name)]
    unmet = [f"{name} wants {wish}" for name, wish in wanted if applies(wish) and not met(wish, pinned)]
    assert unmet == []


def declared_by(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # in an environment without the demo or the checks
        return []


def applies(wish: Requirement) -> bool:
    return wish.marker is None or wish.marker.evaluate({"extra": ""})


def met(wish: Requirement, pinned: dict[str, Version]) -> bool:
    name = canonicalize_name(wish.name)
    return name in pinned and wish.specifier.contains(pinned[name], prereleases=True)


def test_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert phony[1].split() == re.findall(r"^([a-z-]+):.*## \w", makefile, re.MULTILINE)


def test_continuous_integration_calls_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()
    assert script.read_text().rstrip().endswith("\nmake docs\nmake test\nmake test-long")
    assert "- run: .ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_the_wheel_is_installed_as_the_readme_says() -> None:
    """`.ci/versions` runs the very command."""
    command = re.search(r"^\$ pip (install .*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert command is not None
    assert command[1] in (ROOT / ".ci" / "versions").read_text(encoding="utf-8").replace("--quiet ", "")
