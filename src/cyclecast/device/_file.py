"""Device files: YAML without anchors, tags or code, and errors that name the line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent, ScalarEvent

from cyclecast.device._explain import Path_, explain, nearest_path, show
from cyclecast.device._parts import Part
from cyclecast.device._words import SHOWN, suggest
from cyclecast.errors import DeviceError, MistakesError
from cyclecast.storage.reading import Json
from cyclecast.terminal import printable_lines

Model = TypeVar("Model", bound=Part)

LARGEST_FILE = 1 << 16
"""Most bytes of a file; a device is a page of text."""
MOST_VALUES = 4000
"""Most keys, values and collections; the largest device of the library has 250. The reader takes 50 us for each."""
LONGEST_PROBLEM = 160
"""Most characters of a YAML error in a message; the error quotes the file."""
DEEPEST = 8
"""Most collections inside one another; a device needs four."""


def library() -> tuple[str, ...]:
    """The names of the devices that come with cyclecast."""
    folder = files("cyclecast.device") / "library"
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def found(name_or_path: str | Path) -> tuple[str, bytes]:
    """The name of the file for messages, and its content. Raises `DeviceError` if it cannot be read.

    A word without dot and slash is a name of the library; other texts, and every `Path`, are files.
    """
    if isinstance(name_or_path, Path) or not re.fullmatch(r"[A-Za-z0-9_-]*", name_or_path):
        path = Path(name_or_path)
        return _shown(path), _read(path)
    if name_or_path not in library():
        raise DeviceError(
            f"device '{name_or_path}'",
            "no such device in the library",
            f"there are {', '.join(library())}",
            f"{suggest(name_or_path, library())}, or './{name_or_path}' for a file",
        )
    resource = files("cyclecast.device") / "library" / f"{name_or_path}.yaml"
    return f"{name_or_path}.yaml", resource.read_bytes()


def text_of(values: Mapping[str, Json]) -> str:
    """The text of a YAML file with these values of a device."""
    text = StringIO()
    writer = YAML()
    writer.width = 1 << 16  # no folding of lines: it can change the spaces of a text
    writer.dump(values, text)
    if printable_lines(text.getvalue()) != text.getvalue():
        text = StringIO()
        writer.allow_unicode = False  # escapes invisible characters, and all others beyond ASCII
        writer.dump(values, text)
    return text.getvalue()


def _shown(path: Path) -> str:
    text = str(path)
    return text if text.isprintable() and len(text) < LONGEST_PROBLEM else show(text)


def _read(path: Path) -> bytes:
    where = _shown(path)
    try:
        if path.is_dir():
            raise DeviceError(where, "a folder", "a device is one file", "a file in it")
        if not path.is_file():
            raise DeviceError(where, "no such file", "a device is a file or a name", ", ".join(library()))
        with path.open("rb") as stream:
            content = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        raise DeviceError(where, "cannot be read", str(error.strerror), "another file") from None
    if len(content) > LARGEST_FILE:
        raise DeviceError(where, "too large", f"a device has at most {LARGEST_FILE} bytes", "a page of text")
    return content


def parsed(kind: type[Model], file: str, content: bytes) -> tuple[Model, object, dict[Path_, int]]:
    """A device of class `kind`, its plain values, and the line of every path in them. Raises `DeviceError`."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DeviceError(f"{file}:{line}", "not text", "a device file is UTF-8", "saving it as UTF-8") from None
    plain, lines = _tree(file, text)
    try:
        return kind.model_validate(plain), plain, lines
    except ValidationError as error:
        mistakes = explain(error, kind, plain)
        numbers = [lines[nearest_path(each.path, lines)] for each in mistakes]
        raise MistakesError.of(
            DeviceError(f"{file}:{line}: {each.field}", each.demand, each.bound, each.lever)
            for each, line in zip(mistakes, numbers, strict=True)
        ) from None


@lru_cache(maxsize=16)
def _tree(file: str, text: str) -> tuple[object, dict[Path_, int]]:
    """The plain values of a text and their lines, not to be changed: parsing takes 20 ms, so they are cached."""
    root = _compose(file, text)
    if not isinstance(root, CommentedMap):
        shown = "empty" if root is None else "not a set of fields"
        raise DeviceError(f"{file}:1", shown, "a device is fields and values", "a file of the library for a start")
    lines: dict[Path_, int] = {}
    return _plain(root, (), lines), lines


def _compose(file: str, text: str) -> object:
    """The tree of a YAML text. Its events are checked before, so anchors, tags and the like are never built."""
    try:
        for line, complaint, lever in _complaints(text):
            raise DeviceError(f"{file}:{line}", complaint, "a device file is plain fields and values", lever)
        return YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = str(error.problem or error.context).splitlines()[0][:LONGEST_PROBLEM]
        raise DeviceError(f"{file}:{line}", "not YAML", problem, "mending that line") from None
    except (YAMLError, ValueError) as error:
        if isinstance(error, DeviceError):
            raise
        raise DeviceError(f"{file}:1", "not YAML", str(error).splitlines()[0].strip(), "plain text") from None


def _complaints(text: str) -> Iterator[tuple[int, str, str]]:
    depth = values = 0
    for event in YAML(typ="rt", pure=True).parse(text):
        line = event.start_mark.line + 1
        values += isinstance(event, NodeEvent)
        if values > MOST_VALUES:
            yield line, f"more than {MOST_VALUES:,} values", "a page of text"
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            yield line, f"more than {DEEPEST} collections inside one another", "fewer brackets"
        if isinstance(event, AliasEvent):
            yield line, f"an alias *{event.anchor[:SHOWN]}", "writing the value out"
        elif isinstance(event, NodeEvent) and event.anchor is not None:
            yield line, f"an anchor &{event.anchor[:SHOWN]}", "writing the value out"
        elif isinstance(event, CollectionStartEvent | ScalarEvent) and event.tag is not None:
            yield line, f"a tag {str(event.tag)[:SHOWN]}", "leaving it out"
        elif isinstance(event, ScalarEvent) and event.value == "<<":
            yield line, "a merge key <<", "writing the fields out"


def _plain(node: object, path: Path_, lines: dict[Path_, int]) -> object:
    """The tree as plain dicts and lists; the line of every path is added to `lines`."""
    if isinstance(node, CommentedMap):
        lines.setdefault(path, node.lc.line + 1)
        for key in node:
            lines[(*path, key)] = node.lc.key(key)[0] + 1
        return {key: _plain(value, (*path, key), lines) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        lines.setdefault(path, node.lc.line + 1)
        for position in range(len(node)):
            lines[(*path, position)] = node.lc.item(position)[0] + 1
        return [_plain(value, (*path, position), lines) for position, value in enumerate(node)]
    return str(node) if isinstance(node, str) else node
