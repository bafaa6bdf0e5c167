"""A second run of tune: where files, options and versions are as before, the answer is in the folder."""

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
from cyclecast.storage.reading import json_value

RECORDS, RESULT = "records.db", "result.json"
MOST_BYTES = 1 << 28
"""Of `result.json`."""
MOST_OF_FILES = 1 << 32
"""Bytes of a network and its samples that are read to see whether they are as before."""
BESIDE = b"location"
"""Key with which an ONNX file names another file of weights."""


@dataclass(frozen=True, slots=True)
class TuneQuestion:
    """All that the result of `tune` depends on, but the records that it finds."""

    digest: str

    @classmethod
    def of(cls, model: Path, samples: Path | None, options: Sequence[Any]) -> TuneQuestion | None:
        """Files by their content.

        None where not all of them can be read, of which `tune` will say more, and where other packages announce
        variants, whose text nothing here knows.
        """
        if entry_points(group=plugins.GROUP):
            return None
        try:
            paths = [path for root in (model, samples) if root for path in _files(root)]
            if _size(paths) > MOST_OF_FILES:
                return None
            files = [[str(path), _digest(path)] for path in paths]
        except Exception:  # of any class: they are strangers' files
            return None
        text = json.dumps([versions.built_by(), str(model), files, options], sort_keys=True)
        return cls(sha256(text.encode()).hexdigest())

    def asked(self, out: Path) -> str:
        """The digest of this and of the folder's records."""
        return sha256(f"{self.digest} {folders.digest_of(out / RECORDS)}".encode()).hexdigest()

    def answer(self, out: Path) -> dict[str, Any] | None:
        """The stored result of `tune` in this folder, marked as reused; None where `tune` has to run."""
        if not folders.answers(out, "tune", self.asked(out)):
            return None
        try:
            found: dict[str, Any] = json_value(folders.read_file(out, RESULT, MOST_BYTES))
        except (CyclecastError, OSError, ValueError):
            return None
        if found["verification"] and "error" in found["verification"]:
            return None  # a full disk and the like: it may be gone
        for workload in found["workloads"]:
            workload |= {"reused": True, "disbelieved": ""}
        found["total"]["reused"] = len(found["workloads"])
        return found | {"out": str(out)}


def _files(root: Path) -> list[Path]:
    """A file and those that hold its weights; or the files of a folder."""
    if root.is_dir():
        return sorted(path for path in root.iterdir() if path.is_file())
    if root.suffix != ".onnx" or _size([root]) > MOST_OF_FILES or BESIDE not in root.read_bytes():
        return [root]
    from onnx import external_data_helper, load

    tensors = external_data_helper._get_all_tensors(load(root, load_external_data=False))
    said = [external_data_helper.ExternalDataInfo(tensor).location for tensor in tensors if tensor.external_data]
    return [root, *(root.parent / name for name in sorted(set(said)))]


def _size(paths: Sequence[Path]) -> int:
    """The bytes of files; `ValueError` where one is a pipe, a device, or anything else that may have no end."""
    if not all(path.is_file() for path in paths):
        raise ValueError(paths)
    return sum(path.stat().st_size for path in paths)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
