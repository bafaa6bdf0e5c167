"""The site of documentation: it builds without a warning, describes all public names, and fetches nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zlib
from importlib.util import find_spec
from pathlib import Path

import pytest

import cyclecast as cc
from c_projects import REQUIRED

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("sphinx") is None:
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)("Sphinx is not installed: make docs")
    built = tmp_path_factory.mktemp("site")
    build = ["-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going", "-d", str(built / "doctrees"), str(DOCS)]
    done = subprocess.run([sys.executable, *build, str(built / "html")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return built / "html"


@pytest.mark.tvm
@pytest.mark.long
def test_every_public_name_is_described(site: Path) -> None:
    *_, packed = (site / "objects.inv").read_bytes().split(b"\n", 4)
    described = {line.split(" ", 1)[0] for line in zlib.decompress(packed).decode().splitlines()}
    public = {f"cyclecast.{name}" for name in cc.__all__} | {f"cyclecast.tvm.{name}" for name in _public_of("tvm")}
    public |= {f"cyclecast.testing.{name}" for name in _public_of("testing")}
    assert sorted(public - described - {"cyclecast.__version__"}) == []


@pytest.mark.tvm
@pytest.mark.long
def test_pages_of_the_site_fetch_nothing(site: Path) -> None:
    fetched = {
        str(page.relative_to(site)): found
        for page in sorted(site.rglob("*.html"))
        if (
            found := re.findall(
                r'<(?:script|img|link|iframe)[^>]* (?:src|href)="(?:https?:)?//[^"]*"', page.read_text()
            )
        )
    }
    assert fetched == {}


def _public_of(module: str) -> list[str]:
    names: list[str] = __import__(f"cyclecast.{module}", fromlist=["__all__"]).__all__
    return names
