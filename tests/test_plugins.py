from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from cyclecast import plugins
from cyclecast.errors import OptionError
from cyclecast.plugins import build
from cyclecast.units import Time

READ = Time.parse("100 ns")


@dataclass(frozen=True)
class Plain:
    pass


@dataclass(frozen=True)
class Poster:
    fill: bool = True
    cycles: int = 6
    share: float = 0.5
    ratio: Fraction = Fraction(1, 3)
    title: str = "poster"
    read: Time = READ
    hidden: tuple[int, ...] = ()


@dataclass(frozen=True)
class Needy:
    path: str


BUILTIN = {"plain": lambda: Plain, "poster": lambda: Poster, "needy": lambda: Needy}
MINE = {"timing": {"mine": Poster}}
AGAIN = {"timing": {"plain": Poster}}
WRONG = 3


def announce(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    found = [EntryPoint(name=name.lower(), value=f"{__name__}:{name}", group="cyclecast") for name in names]
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry for entry in found if entry.group == group])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("plain", Plain()),
        ("poster", Poster()),
        ("poster:", Poster()),
        ("poster:fill=false", Poster(fill=False)),
        ("poster:fill=true,cycles=-2", Poster(cycles=-2)),
        ("poster:share=1e-3,ratio=2/3", Poster(share=0.001, ratio=Fraction(2, 3))),
        ("poster:title=a=b: c", Poster(title="a=b: c")),
        ("poster:read=5 ns", Poster(read=Time.parse("5 ns"))),
        ("needy:path=", Needy(path="")),
    ],
)
def test_a_spec_builds_the_dataclass(spec: str, expected: object) -> None:
    assert expected == build("timing", spec, BUILTIN)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("foo", "timing 'foo': no such timing model, there are needy, plain, poster"),
        ("", "timing '': no such timing model, there are needy, plain, poster"),
        ("plain:foo=1", "plain: no option 'foo', it has none"),
        ("poster:foo=1", "poster: no option 'foo', it has cycles, fill, hidden, ratio, read, share, title"),
        ("poster:fill", "poster: 'fill' is no option, an option is name=value; try 'fill=...'"),
        ("poster:,", "poster: '' is no option, an option is name=value; try '=...'"),
        ("poster:fill=1", "poster: fill: '1', it must be true or false; try 'true'"),
        ("poster:cycles=1.5", "poster: cycles: '1.5', it must be of type int"),
        ("poster:ratio=1/0", "poster: ratio: '1/0', it must be of type Fraction"),
        ("poster:read=100", "time: '100' cannot be read, it must be a decimal number and one of fs, .*"),
        ("poster:hidden=1", "poster: hidden: '1', an option of this type cannot be given as text; try calling .*"),
        ("poster:cycles=1,cycles=2", "poster: option 'cycles' twice, an option has one value; try one of the two"),
        ("needy", "needy: option 'path' missing, it has no default; try 'needy:path=...'"),
    ],
)
def test_a_bad_spec_says_what_there_is(spec: str, expected: str) -> None:
    with pytest.raises(OptionError, match=f"^{expected}$"):
        build("timing", spec, BUILTIN)


def test_only_the_variant_asked_for_is_imported() -> None:
    def broken() -> type:
        raise AssertionError("imported")

    assert Plain() == build("timing", "plain", {"plain": lambda: Plain, "broken": broken})


def test_another_package_announces_a_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, "MINE")
    assert Poster(fill=False) == build("timing", "mine:fill=false", BUILTIN)
    with pytest.raises(OptionError, match="no such search strategy, there are"):
        build("search", "mine", BUILTIN)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AGAIN", "plugin 'again': duplicate timing 'plain', names are unique; try another name"),
        ("WRONG", "plugin 'wrong': cannot be loaded, AttributeError.*; try removing it"),
        ("ABSENT", "plugin 'absent': cannot be loaded, AttributeError.*; try removing it"),
    ],
)
def test_a_bad_plugin_is_named(name: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, name)
    with pytest.raises(OptionError, match=f"^{expected}$"):
        build("timing", "plain", BUILTIN)


def test_a_class_without_fields_takes_no_options() -> None:
    builtin: dict[str, Any] = {"bare": lambda: object}
    assert type(build("timing", "bare", builtin)) is object
    with pytest.raises(OptionError, match="bare: object is no dataclass"):
        build("timing", "bare:size=3", builtin)
