"""Archives of `torch.export`, looked through before PyTorch opens them: nothing in them may run code.

PyTorch's loader unpickles tensors, custom objects and older archives without restriction, and hands expressions of
shapes to SymPy, which evaluates them. So only members of known names are let in, no member is a pickle but the sample
inputs (which must load as plain tensors), and expressions are of known words.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from cyclecast.errors import ModelError

LEVER = "torch.export.save(torch.export.export(module, inputs), 'network.pt2')"
KNOWN = re.compile(
    r"[^/]+/(data/(weights/(weight_\d+|\w+_config\.json)|constants/(tensor_\d+|\w+_config\.json)|sample_inputs/\w+\.pt)"
    r"|models/\w+\.json|archive_format|archive_version|byteorder|\.data/\w+)"
)
"""The members of an archive of one program without objects of its own."""
PLAIN = re.compile(r"(weight|tensor)_\d+")
LISTED = (
    "Symbol Dummy Integer Rational Float Add Mul Pow Max Min Mod PythonMod FloorDiv CeilDiv CleanDiv IntTrueDiv "
    "floor ceiling Abs And Or Not Equality Unequality Eq Ne Ge Gt Le Lt StrictGreaterThan StrictLessThan GreaterThan "
    "LessThan BooleanTrue BooleanFalse true false True False positive integer nonnegative negative real zero"
)
WORDS = frozenset(LISTED.split())
"""What expressions of shapes are made of, beside the names of extents."""
EXTENT = re.compile(r"[a-z]+\d+")
EXPRESSION = re.compile(r"[\w\s(),='+\-*/<>]*")


def require_no_code(source: Path, torch: Any) -> None:
    """Raise `ModelError` where an archive holds what could run code, or is larger unpacked than it is."""
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            name = f"{source}: {member.filename}"
            if member.compress_type != zipfile.ZIP_STORED:
                raise ModelError(name, "it is compressed", "torch.export stores", LEVER)
            if not KNOWN.fullmatch(member.filename):
                raise ModelError(name, "an unknown member", "it may run code", LEVER)
            if member.filename.endswith("_config.json"):
                _require_plain(json.loads(archive.read(member)), name)
            elif member.filename.endswith(".json"):
                _require_expressions(json.loads(archive.read(member)), name)
            elif member.filename.endswith(".pt"):
                torch.load(BytesIO(archive.read(member)), weights_only=True)


def opened(source: Path) -> Any:
    """What PyTorch can open: the file, or a copy in which outputs of classes that it does not know are dictionaries.

    Such classes (those of transformers, say) are known only where the package that made them is imported.
    """
    with zipfile.ZipFile(source) as archive:
        programs = {
            member.filename: archive.read(member)
            for member in archive.infolist()
            if "/models/" in member.filename and member.filename.endswith(".json")
        }
        changed = {name: _with_dictionaries(content) for name, content in programs.items()}
        if changed == programs:
            return source
        copy = BytesIO()
        with zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as target:
            for member in archive.infolist():
                target.writestr(member.filename, changed.get(member.filename) or archive.read(member))
    copy.seek(0)
    return copy


def _with_dictionaries(content: bytes) -> bytes:
    program = json.loads(content)
    found = False
    for entry in program.get("graph_module", {}).get("module_call_graph", ()):
        signature = entry.get("signature") or {}
        for key in ("in_spec", "out_spec"):
            version, spec = json.loads(signature.get(key) or "[0, null]")
            if spec is not None and _made_plain(spec):
                signature[key], found = json.dumps([version, spec]), True
    return json.dumps(program).encode() if found else content


def _made_plain(spec: Any) -> bool:
    """Turn the nodes of unknown classes that hold named parts into dictionaries, in place; whether there are any."""
    inner = [_made_plain(child) for child in spec["children_spec"]]
    kind = spec["type"]
    if kind is None or kind.split(".")[0] in ("builtins", "collections"):
        return any(inner)
    names = json.loads(spec["context"])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return any(inner)
    spec["type"] = "builtins.dict"
    return True


def _require_plain(config: Any, name: str) -> None:
    for entry in config.get("config", {}).values():
        if entry.get("use_pickle") or not PLAIN.fullmatch(str(entry.get("path_name"))):
            raise ModelError(name, "pickled tensors or objects", "they may run code", LEVER)


def _require_expressions(program: Any, name: str) -> None:
    for text in _expressions(program):
        words = re.findall(r"[^\W\d]\w*", text)
        if not EXPRESSION.fullmatch(text) or not all(word in WORDS or EXTENT.fullmatch(word) for word in words):
            raise ModelError(name, "an expression of unknown words", "it may run code", LEVER)


def _expressions(part: Any) -> Iterator[str]:
    """Every expression of a shape in a program."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "expr_str":
                yield str(value)
            else:
                yield from _expressions(value)
    elif isinstance(part, list):
        for value in part:
            yield from _expressions(value)
