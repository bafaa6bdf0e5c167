"""Folders that tune wrote, and changed ones whose manifest says that they are as they were."""

from __future__ import annotations

import shutil
from pathlib import Path

from cyclecast.storage.folders import MANIFEST, output


def with_new_manifest(folder: Path) -> None:
    """Make the manifest say that the files are as they were written: what only somebody with intent would do."""
    with output(folder, "tune", force=True) as place:
        for path in folder.iterdir():
            if path.is_dir() and not path.name.startswith(".cyclecast-"):
                shutil.copytree(path, place / path.name)
            elif path.is_file() and path.name != MANIFEST:
                shutil.copy(path, place)
