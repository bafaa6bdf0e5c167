"""Reuse of the result of an earlier `tune` with the same files, options and versions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from cyclecast import plugins
from cyclecast.errors import CyclecastError
from cyclecast.storage import folders, versions
from cyclecast.storage.reading import json_value, members

RECORDS, RESULT = "records.db", "result.json"
MOST_BYTES = 1 << 28
"""Largest `result.json` [bytes]."""
MOST_OF_FILES = 1 << 32
"""Most bytes of a network and its samples that are hashed."""
BESIDE = b"location"
"""Key of an ONNX file that names an external file of weights."""


@dataclass(frozen=True, slots=True)
class TuneQuestion:
    """A digest of everything that the result of `tune` depends on, except the records in its folder."""

    digest: str

    @classmethod
    def of(cls, model: Path, samples: Path | None, options: Sequence[Any]) -> TuneQuestion | None:
        """The digest of files (by content), options and versions.

        None if a file cannot be read (`tune` then reports it), or if other packages announce variants, whose code has
        no digest.
        """
        if entry_points(group=plugins.GROUP):
            return None
        try:
            paths = [path for root in (model, samples) if root for path in _files(root)]
            if _size(paths) > MOST_OF_FILES:
                return None
            files = [[str(path), _digest(path)] for path in paths]
        except Exception:  # of any class: the files are untrusted
            return None
        text = json.dumps([versions.built_by(), str(model), files, options], sort_keys=True)
        return cls(sha256(text.encode()).hexdigest())

    def asked(self, out: Path) -> str:
        """The digest, combined with that of the folder's records."""
        return sha256(f"{self.digest} {folders.digest_of(out / RECORDS)}".encode()).hexdigest()

    def answer(self, out: Path) -> dict[str, Any] | None:
        """The stored result of `tune` in this folder, marked as reused; None if `tune` has to run."""
        if not folders.answers(out, "tune", self.asked(out)):
            return None
        try:
            found: dict[str, Any] = dict(members(json_value(folders.read_file(out, RESULT, MOST_BYTES))))
        except (CyclecastError, OSError, ValueError):
            return None
        if found["verification"] and "error" in found["verification"]:
            return None  # the cause, such as a full disk, may have gone
        for workload in found["workloads"]:
            workload |= {"reused": True, "disbelieved": ""}
        found["total"]["reused"] = len(found["workloads"])
        return found | {"out": str(out)}


def _files(root: Path) -> list[Path]:
    """A file and its external weights, or the files of a folder."""
    if root.is_dir():
        return sorted(path for path in root.iterdir() if path.is_file())
    if root.suffix != ".onnx" or _size([root]) > MOST_OF_FILES or BESIDE not in root.read_bytes():
        return [root]
    from onnx import external_data_helper, load

    tensors = external_data_helper._get_all_tensors(load(root, load_external_data=False))
    locations = [external_data_helper.ExternalDataInfo(tensor).location for tensor in tensors if tensor.external_data]
    return [root, *(root.parent / name for name in sorted(set(locations)))]


def _size(paths: Sequence[Path]) -> int:
    """Bytes of files. Raises `ValueError` for a pipe, a device, or anything else without a size."""
    if not all(path.is_file() for path in paths):
        raise ValueError(paths)
    return sum(path.stat().st_size for path in paths)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
