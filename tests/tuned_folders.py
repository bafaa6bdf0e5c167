"""Folders written by `tune`, and changed ones with a consistent manifest."""

from __future__ import annotations

import shutil
from pathlib import Path

from cyclecast.storage.folders import MANIFEST, output


def with_new_manifest(folder: Path) -> None:
    """Make the manifest match the changed files, as an attacker would."""
    with output(folder, "tune", force=True) as place:
        for path in folder.iterdir():
            if path.is_dir() and not path.name.startswith(".cyclecast-"):
                shutil.copytree(path, place / path.name)
            elif path.is_file() and path.name != MANIFEST:
                shutil.copy(path, place)
