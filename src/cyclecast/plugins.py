"""Find a variant by name: built-in, announced by another package, or in a file.

A package announces its variants with one entry point of the group "cyclecast"; the entry point is a dictionary from a
kind to the classes of that kind by name:

    [project.entry-points.cyclecast]
    mine = "my_package:variants"        # variants = {"timing": {"mine": MyTiming}}

Options are the fields of a dataclass: "poster:fill=false" builds `PosterTiming(fill=False)`. A class in a file needs no
package: "./mine.py:MyTiming", with options "./mine.py:MyTiming:fill=false".
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from fractions import Fraction
from functools import partial
from hashlib import sha256
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import get_type_hints

from cyclecast.errors import OptionError

GROUP = "cyclecast"
"""The entry-point group."""

NOUNS = {"frontend": "front end", "mutator": "mutation rule", "search": "search strategy", "timing": "timing model"}
"""Nouns for kinds in messages."""
IN_A_FILE = re.compile(r"(?P<file>.+\.py):(?P<name>\w+)(?::(?P<options>.*))?", re.DOTALL)
"""A class in a file, with options."""


def build(kind: str, spec: str, builtin: Mapping[str, Callable[[], type]], **given: object) -> object:
    """Build the variant that `spec` names; `builtin` maps names to functions that return a class.

    `spec` is "name" or "file.py:Name", each with ":option=value,option=value". `given` sets fields without an option.
    Raises `OptionError` for an unknown name, a class that cannot be loaded, or a wrong option.
    """
    inside = IN_A_FILE.fullmatch(spec)
    if inside:
        name, options = inside["name"], inside["options"] or ""
        variant = _of_file(Path(inside["file"]), name)
    else:
        name, _, options = spec.partition(":")
        found = _gather(kind, builtin)
        if name not in found:
            raise OptionError(f"{kind} '{name}'", f"no such {NOUNS.get(kind, kind)}", f"there are {_listed(found)}")
        variant = found[name]()
    taken = {field.name for field in fields(variant)} if is_dataclass(variant) else set()
    known = {field: value for field, value in given.items() if field in taken}
    return variant(**known, **_options(name, variant, options, known))


def announced(kind: str) -> list[object]:
    """The objects of this kind that `use` has added, and one of every class that installed packages announce."""
    return [*_USED.get(kind, ()), *(variant()() for _, variant in sorted(_gather(kind, {}).items()))]


def use(kind: str, spec: str) -> None:
    """Add the variant that `spec` names to those that packages announce, for this process."""
    _USED.setdefault(kind, []).append(build(kind, spec, {}))


_USED: dict[str, list[object]] = {}
"""Objects added by `use`, by kind."""


def is_in_a_file(spec: object) -> bool:
    """Whether a text names a class in a file, whose content may change."""
    return isinstance(spec, str) and IN_A_FILE.fullmatch(spec) is not None


def raised_in(error: BaseException) -> str:
    """File and line of the named class that raised an error, "own.py:12"; empty if it comes from elsewhere."""
    places = [(frame.filename, frame.lineno) for frame in extract_tb(error.__traceback__)]
    found = [f"{_FILES[name]}:{line}" for name, line in places if name in _FILES]
    return found[-1] if found else ""


_FILES: dict[str, Path] = {}
"""Files of named classes: the path as run, and as given."""


def _of_file(file: Path, name: str) -> type:
    found = getattr(_module(file), name, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(_module(file)).items() if isinstance(value, type)]
        raise OptionError(f"{file}:{name}", "no such class", f"there are {_listed(dict.fromkeys(classes))}")
    return found


def _module(file: Path) -> ModuleType:
    """The module in a file, loaded once per content; its name does not depend on the folder.

    It may import files beside it, as a program may; installed packages have precedence.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise OptionError(str(file), "cannot be read", str(error.strerror), "the path of a Python file") from error
    name = f"{file.stem}_{sha256(content).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    beside = str(file.resolve().parent)
    if beside not in sys.path:
        sys.path.append(beside)
    made = spec_from_file_location(name, file)
    assert made is not None
    _FILES[str(made.origin)] = file
    assert made.loader is not None
    module = sys.modules[name] = module_from_spec(made)
    try:
        made.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # any error of the user's file
        del sys.modules[name]
        raise OptionError(str(file), "cannot be loaded", repr(error), "python " + str(file)) from error
    return module


def _gather(kind: str, builtin: Mapping[str, Callable[[], type]]) -> dict[str, Callable[[], type]]:
    found = dict(builtin)
    for entry in entry_points(group=GROUP):
        try:
            announced = entry.load().get(kind, {})
        except Exception as error:  # any error of the package
            raise OptionError(f"plugin '{entry.name}'", "cannot be loaded", repr(error), "removing it") from error
        for name, variant in announced.items():
            if name in found:
                raise OptionError(
                    f"plugin '{entry.name}'", f"duplicate {kind} '{name}'", "names are unique", "another name"
                )
            found[name] = partial(_itself, variant)
    return found


def _itself(variant: type) -> type:
    return variant


def _options(name: str, variant: type, text: str, others: Mapping[str, object]) -> dict[str, object]:
    if not is_dataclass(variant) and not text:
        return {}
    if not is_dataclass(variant):
        raise OptionError(name, f"{variant.__name__} is no dataclass", "the fields of a dataclass are the options")
    known = {field.name: field for field in fields(variant) if field.init and field.name not in others}
    types = get_type_hints(variant)
    given: dict[str, object] = {}
    for item in text.split(",") if text else []:
        option, equals, value = item.partition("=")
        if not equals:
            raise OptionError(name, f"'{item}' is no option", "an option is name=value", f"'{option}=...'")
        if option not in known:
            has = f"it has {_listed(known)}" if known else "it has none"
            raise OptionError(name, f"no option '{option}'", has)
        if option in given:
            raise OptionError(name, f"option '{option}' twice", "an option has one value", "one of the two")
        given[option] = _value(f"{name}: {option}", types[option], value)
    missing = [option for option, field in known.items() if option not in given and _required(field)]
    if missing:
        raise OptionError(name, f"option '{missing[0]}' missing", "it has no default", f"'{name}:{missing[0]}=...'")
    return given


def _value(where: str, type_: object, text: str) -> object:
    if type_ is bool:
        if text not in ("true", "false"):
            raise OptionError(where, f"'{text}'", "it must be true or false", "'true'")
        return text == "true"
    if isinstance(type_, type) and type_ in (int, float, str, Fraction):
        try:
            return type_(text)
        except (ValueError, ZeroDivisionError):
            raise OptionError(where, f"'{text}'", f"it must be of type {type_.__name__}") from None
    if hasattr(type_, "parse"):  # a quantity with a unit
        return type_.parse(text)
    raise OptionError(where, f"'{text}'", "an option of this type cannot be given as text", "calling the class")


def _required(field: Field[object]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(sorted(names)) or "none"
