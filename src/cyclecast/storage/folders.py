"""Output folders and files: written completely or not at all, without replacing files of the user.

An output folder has a manifest, `cyclecast.json`, with the SHA-256 digest of each file, by the verb that wrote it. A
file is replaced or deleted only if the manifest names it and it is unchanged. The manifest detects mistakes and
accidents; it is not signed, so it does not prove who wrote a folder.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from io import BufferedReader
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp

from cyclecast.errors import ModelError, OptionError

MANIFEST = "cyclecast.json"
FORMAT, VERSION = "cyclecast-folder", 1
STAGING = ".cyclecast-writing-"
"""Prefix of folders that hold files until all of them are complete."""
ABANDONED = re.compile(re.escape(STAGING) + r"[a-z0-9_]{8}")
"""Pattern of such a folder's whole name."""
HEAD = 4096
"""Bytes at the beginning of a single file that are searched for its mark."""
LEVER = "another path, or --force, which replaces it"
MOST_BYTES = 1 << 26
"""Largest manifest [bytes]."""
MOST_OF_A_FILE = 1 << 32
"""Largest file that is read or compared [bytes]."""
NO_FILE = "no file"
"""Digest of a link, a pipe, a folder, or a file that is too long."""


@dataclass(slots=True)
class _Manifest:
    """The files that were written into a folder."""

    files: dict[str, dict[str, str]] = field(default_factory=dict)
    """By verb: the digest of each file."""
    before: dict[str, list[str]] = field(default_factory=dict)
    """While files are being replaced: the earlier digests of each."""
    asked: dict[str, str] = field(default_factory=dict)
    """By verb: a digest of its question and of all its files, if they are unchanged."""

    def known(self, name: str) -> set[str]:
        """All digests with which the file counts as ours."""
        return {files[name] for files in self.files.values() if name in files} | set(self.before.get(name, ()))

    def after(self, verb: str, files: Mapping[str, str], asked: str) -> _Manifest:
        """The manifest after a verb has written these files; other verbs lose the files of these names."""
        others = {
            other: {name: digest for name, digest in listed.items() if name not in files}
            for other, listed in self.files.items()
            if other != verb
        }
        whole = {other: said for other, said in self.asked.items() if others.get(other) == self.files.get(other)}
        after = _Manifest({other: listed for other, listed in others.items() if listed} | {verb: dict(files)})
        after.asked = {other: said for other, said in whole.items() if other != verb}
        if asked:
            after.asked[verb] = _sealed(asked, files)
        return after

    def outdated(self, verb: str, files: Iterable[str]) -> list[str]:
        """Files that the verb wrote before and does not write now, also after an interrupted write."""
        elsewhere = {name for other, listed in self.files.items() if other != verb for name in listed}
        return sorted(({*self.files.get(verb, ()), *self.before} - elsewhere) - set(files))

    def write(self, folder: Path, staging: Path) -> None:
        """Write the manifest atomically."""
        about = {"format": FORMAT, "version": VERSION, "files": self.files}
        more = {name: value for name, value in (("before", self.before), ("asked", self.asked)) if value}
        text = json.dumps(about | more, indent=2) + "\n"
        (staging / MANIFEST).write_text(text, encoding="utf-8")
        (staging / MANIFEST).replace(folder / MANIFEST)


@contextmanager
def output(folder: str | Path, verb: str, *, force: bool = False, asked: str = "") -> Iterator[Path]:
    """Context: a folder for new files, which then replace the files that the same verb wrote into `folder` before.

    All files are replaced or none: after an error in the block, the folder is unchanged. Raises `OptionError` for an
    existing file that cyclecast did not write or that has changed since; `force` replaces these, and deletes no other.
    `asked` is a SHA-256 digest of the question that the files answer, for `answers`.
    """
    place = Path(folder)
    with _explained(place):
        place.mkdir(parents=True, exist_ok=True)
        with _staging(place) as staging:
            yield staging
            _commit(place, staging, verb, force, asked)


def require_replaceable(folder: str | Path, names: Iterable[str], *, force: bool = False) -> None:
    """Raise the `OptionError` that `output` would raise for these files."""
    place = Path(folder)
    with _explained(place):
        _refuse(place, _read(place, force), dict.fromkeys(names, ""), force)


@contextmanager
def output_file(path: str | Path, ours: str, *, force: bool = False, within: int | None = HEAD) -> Iterator[Path]:
    """Context: a path for one file, which then replaces the file at `path`.

    An existing file must be empty or contain the pattern `ours` in its first `within` bytes (None: anywhere), unless
    `force` is set; otherwise `OptionError` is raised. A pipe or a device is written directly.
    """
    given = Path(path)
    with _explained(given):
        target = given.resolve()
        if target.exists() and not target.is_file() and not target.is_dir():
            yield target
            return
        if target.is_file() and not force:
            with target.open("rb") as file:
                head = file.read(within)
            if head and not re.search(ours.encode(), head):
                raise OptionError(str(given), "it exists and cyclecast did not write it", lever=LEVER)
        if target.parent.name.startswith(STAGING):  # inside `output`, which moves complete files itself
            yield target
            return
        with _staging(target.parent) as staging:
            yield staging / target.name
            (staging / target.name).replace(target)


def read_file(folder: Path, name: str, most: int = MOST_OF_A_FILE) -> bytes:
    """The bytes of a file in the folder.

    Raises `FileNotFoundError`, and `ModelError` for a link, a file behind a link, a pipe, a folder, or more than `most`
    bytes: an untrusted folder must not make us read files outside, wait, or read endlessly.
    """
    (folder / name).lstat()
    if not _is_file(folder, name, most):
        bound = f"not a link or a folder, and of at most {most:,} bytes"
        raise ModelError(f"{folder}/{name}", "it must be a file", bound, "the folder as it was written")
    with _opened(folder / name) as file:
        return file.read(most)


def require_unchanged(folder: Path, read: Mapping[str, bytes], verbs: Iterable[str]) -> None:
    """Raise `ModelError`, which names the file, for a file that is not what one of the verbs wrote into the folder.

    `read` has the contents of files that the manifest must name. Other files may be missing, unless the verb was
    stopped while it wrote.
    """
    if not os.path.lexists(folder / MANIFEST):
        what = "nothing says whether the other files are as they were written"
        raise ModelError(f"{folder}/{MANIFEST}", "there is no such file", what, "tuning again")
    manifest = _read(folder)
    named = {name for verb in verbs for name in manifest.files.get(verb, ())}
    for name in sorted(set(read) - named):
        raise ModelError(
            f"{folder}/{name}", "it is not what tune wrote", f"{MANIFEST} does not name it", "tuning again"
        )
    for verb in verbs:
        files = manifest.files.get(verb, {})
        found = {
            name: sha256(read[name]).hexdigest() if name in read else _digest(folder, name) for name in sorted(files)
        }
        wrong = [
            name for name, digest in found.items() if digest != files[name] and (digest or name in manifest.before)
        ]
        if not wrong or _is_as_before(manifest, found):
            continue
        what, lever = f"its SHA-256 is not that of {MANIFEST}", f"{verb} again with --force"
        if all(digest in manifest.known(name) for name, digest in found.items() if digest):
            what, lever = f"{verb} was stopped while it wrote", f"{verb} again"
        raise ModelError(f"{folder}/{wrong[0]}", f"it is not what {verb} wrote", what, lever)


def holds(folder: Path, verb: str, files: Mapping[str, str], also: Iterable[str] = ()) -> bool:
    """Whether the verb wrote files with these SHA-256 digests, and those in `also`, and all are unchanged."""
    try:
        known = _read(folder).files.get(verb, {})
    except ModelError:
        return False
    wanted = dict(files) | {name: known.get(name, NO_FILE) for name in also}
    return all(known.get(name) == digest == _digest(folder, name) for name, digest in wanted.items())


def answers(folder: Path, verb: str, asked: str) -> bool:
    """Whether the verb wrote the folder's files as the answer to this question, and all are unchanged."""
    try:
        manifest = _read(folder)
    except ModelError:
        return False
    files = manifest.files.get(verb, {})
    return manifest.asked.get(verb) == _sealed(asked, files) and all(
        _digest(folder, name) == files[name] for name in files
    )


def _sealed(asked: str, files: Mapping[str, str]) -> str:
    """A digest of a question and its answer; editing a file and its entry invalidates it."""
    return sha256(json.dumps([asked, files], sort_keys=True).encode()).hexdigest()


def digest_of(path: Path) -> str:
    """The SHA-256 digest of a file."""
    return _digest(path.parent, path.name)


def require_file_unchanged(path: Path) -> None:
    """Raise `ModelError` if the manifest beside a file names it and it has changed or is gone."""
    if os.path.lexists(path.parent / MANIFEST):
        known = _read(path.parent).known(path.name)
        if known and _digest(path.parent, path.name) not in known:
            what = f"its SHA-256 is not that of {MANIFEST} beside it"
            raise ModelError(str(path), "it is not what cyclecast wrote", what, "writing it again")


def _is_as_before(manifest: _Manifest, found: Mapping[str, str]) -> bool:
    """Whether a verb was stopped before it replaced the first file."""
    earlier = manifest.before
    return bool(earlier) and all(digest in (earlier.get(name) or [""]) for name, digest in found.items())


def _commit(folder: Path, staging: Path, verb: str, force: bool, asked: str) -> None:
    """Move all files to their places; if the process is killed, the manifest knows both states."""
    made = sorted(path.relative_to(staging).as_posix() for path in staging.rglob("*") if path.is_file())
    new = {name: _digest(staging, name, None) for name in made}
    with _locked(folder):
        manifest = _read(folder, force)
        _refuse(folder, manifest, new, force)
        after, outdated = manifest.after(verb, new, asked), manifest.outdated(verb, new)
        after.before = {name: digests for name, digests in manifest.before.items() if name not in {*new, *outdated}}
        touched = {name: sorted(manifest.known(name)) for name in [*new, *outdated]}
        _Manifest(after.files, after.before | touched).write(folder, staging)
        for name in new:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(folder / name)
        for name in outdated:
            _delete(folder, name, manifest.known(name))
        after.write(folder, staging)


def _refuse(folder: Path, manifest: _Manifest, new: Mapping[str, str], force: bool) -> None:
    """Raise `OptionError` for the first file that must not be replaced."""
    for name, digest in new.items():
        path = folder / name
        for parent in [folder / part for part in PurePosixPath(name).parents if str(part) != "."]:
            if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
                raise OptionError(str(parent), "it is in the way", "it must be a folder, not a link", "another path")
        if path.is_dir() and not path.is_symlink():
            raise OptionError(str(path), "it is a folder", "a file of that name is to be written", "another path")
        if force or not os.path.lexists(path):
            continue
        known, found = manifest.known(name), _digest(folder, name)
        if found != NO_FILE and (found in known or found == digest or path.stat().st_size == 0):
            continue
        what = "it has changed since cyclecast wrote it" if known else "it exists and cyclecast did not write it"
        raise OptionError(str(path), what, lever=LEVER)


def _delete(folder: Path, name: str, known: set[str]) -> None:
    """Delete a file if it is unchanged, and then its empty folders."""
    path = folder / name
    parents = [folder / part for part in PurePosixPath(name).parents if str(part) != "."]
    if _digest(folder, name) not in known:
        return
    with suppress(OSError):
        path.unlink()
        for parent in parents:
            parent.rmdir()


def _digest(folder: Path, name: str, most: int | None = MOST_OF_A_FILE) -> str:
    """Digest of a file's content; empty if nothing has that name, `NO_FILE` if it is no file."""
    if not os.path.lexists(folder / name):
        return ""
    if not _is_file(folder, name, most):
        return NO_FILE
    with _opened(folder / name) as file:
        return file_digest(file, "sha256").hexdigest()


def _is_file(folder: Path, name: str, most: int | None) -> bool:
    """Whether it is a regular file inside the folder, not behind a link, of at most `most` bytes."""
    within = [folder / part for part in PurePosixPath(name).parents if str(part) != "."]
    about = (folder / name).lstat()
    fits = most is None or about.st_size <= most
    return fits and stat.S_ISREG(about.st_mode) and not any(part.is_symlink() for part in within)


def _opened(path: Path) -> BufferedReader:
    """Open a file for reading, without blocking on a pipe."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def _read(folder: Path, force: bool = False) -> _Manifest:
    """The folder's manifest; empty if there is none or, with `force`, if the file is no manifest."""
    path = folder / MANIFEST
    try:
        return _manifest(json.loads(read_file(folder, MANIFEST, MOST_BYTES)))
    except FileNotFoundError:
        return _Manifest()
    except (ValueError, RecursionError, OSError) as error:
        if force:
            return _Manifest()
        if isinstance(error, ModelError):
            raise
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ModelError(str(path), "it is no manifest that cyclecast wrote", str(reason), "another folder") from error


def _manifest(value: object) -> _Manifest:
    """A manifest from plain values. Raises `ValueError`."""
    if not isinstance(value, dict) or (value.get("format"), value.get("version")) != (FORMAT, VERSION):
        raise ValueError(f"it must be an object of format {FORMAT}, version {VERSION}")
    files, before, asked = value.get("files"), value.get("before", {}), value.get("asked", {})
    if not isinstance(files, dict) or not isinstance(before, dict) or not isinstance(asked, dict):
        raise ValueError("files must be objects")
    for verb, listed in files.items():
        if not isinstance(listed, dict) or not all(_is_entry(name, digest) for name, digest in listed.items()):
            raise ValueError(f"files of {verb} must be digests by relative path")
    for name, digests in before.items():
        if not isinstance(digests, list) or not all(_is_entry(name, digest) for digest in digests):
            raise ValueError("files of before must be digests by relative path")
    return _Manifest(files, before, asked)


def _is_entry(name: str, digest: object) -> bool:
    path = PurePosixPath(name)
    inside = not path.is_absolute() and ".." not in path.parts and str(path) == name != "." and "\0" not in name
    return inside and isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest) is not None


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Context: a temporary folder inside a folder; remains of killed processes are deleted."""
    with _locked(folder):
        for left in folder.glob(f"{STAGING}*"):
            if ABANDONED.fullmatch(left.name) and not left.is_symlink() and left.is_dir() and _is_abandoned(left):
                shutil.rmtree(left, ignore_errors=True)
        place = Path(mkdtemp(prefix=STAGING, dir=folder))
        descriptor = os.open(place, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield place
    finally:
        os.close(descriptor)
        shutil.rmtree(place, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Context: exclude other processes that write into this folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        lever = "making room on the disk, or another path" if full else "another path"
        raise OptionError(f"writing {path}", "it cannot be written", str(error.strerror or error), lever) from error
