"""Mutators of bytes, text, JSON and archives. Each takes the content and a random generator."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from random import Random
from typing import Any

Mutator = Callable[[bytes, Random], bytes]

CANARY = "ran"
"""The folder that is created if the text is executed."""
PAYLOADS = (
    f"__import__('os').mkdir('{CANARY}')",
    f"x=__import__('os').mkdir('{CANARY}')",
    f"Mul(9, mkdir('{CANARY}'))",
    f"a;__import__('os').mkdir('{CANARY}')#",
    f'"); __import__("os").mkdir("{CANARY}") #',
    f"*/ system(\"mkdir {CANARY}\"); /*",
    f"$(shell mkdir {CANARY})",
    f"!!python/object/apply:os.mkdir [{CANARY}]",
)  # fmt: skip
VALUES: list[Any] = [
    *(0, -1, 2, 1 << 31, 1 << 32, 1 << 63, 1 << 200, 1.5, 1e308, float("nan"), float("inf"), None, True),
    *([], {}, [[]], [0], "", "x", "s0", "a.b", "9" * 5000, "\N{RIGHT-TO-LEFT OVERRIDE}\x1b[31m", "\x1b]8;;x\a", "\0"),
    *("torch.ops.aten.relu.default", "torch.ops.aten.from_file.default", "torch.load", "_operator.add"),
    *("builtins.eval", "Mul(" * 500 + "9" + ")" * 500, "/etc/passwd", "../../etc/passwd", "x" * 70_000, *PAYLOADS),
]


def change_bytes(content: bytes, random: Random) -> bytes:
    """Change a few bytes."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 8)):
        if changed:
            changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def cut(content: bytes, random: Random) -> bytes:
    """Remove some bytes, or all bytes from a place on."""
    start = random.randint(0, len(content))
    end = len(content) if random.random() < 0.2 else start + random.randint(0, 40)
    return content[:start] + content[end:]


def repeat(content: bytes, random: Random) -> bytes:
    """Repeat a part, sometimes very often."""
    start = random.randint(0, len(content))
    part = content[start : start + random.randint(1, 60)]
    return content[:start] + part * random.choice([2, 2, 3, 50, 2000]) + content[start:]


BYTES: list[Mutator] = [change_bytes, cut, repeat]

ODD_VALUES = (
    *("0", "-1", "1", "2", "17", "32", "1000000", "1000001", "9" * 30, "9" * 5000, "1e400", ".inf", ".nan", "0x1F"),
    *("true", "yes", "null", "~", "", "''", "'\\x1b[31m'", '"\\e[31m\\u202e"', "[]", "{}", "[[[[[[[[[[1]]]]]]]]]]"),
    *("1 fs", "0 ns", f"1{'0' * 80} s", "1 mHz", "0 Hz", "1e9 GHz", "0 fJ", f"1{'0' * 60} J", "1 TB/s", "0 B", "1 pc"),
    *("&a 1", "*a", "!!python/object/apply:os.system [id]", "!x 1", "<<: 1", "|", ">-", "? 1", "- 1", "@", "%", "\t1"),
    *("2020-01-01", "1_0", "conversions", "time", "array", "\N{RIGHT-TO-LEFT OVERRIDE}x", "\0", "x" * 3000),
    *PAYLOADS,
)  # fmt: skip
ODD_KEYS = (
    *("noise", "adc_bit", "rows", "levels", "name", "<<", "1", "", "[a]", "{a: 1}", "\x1b[2J", "__class__"),
    "x" * 3000,
)


def yaml_value(content: bytes, random: Random) -> bytes:
    """Replace the value of one key by an odd one."""
    return _replace_one(rb"(?<=: )[^,}\n#]+", content, random.choice(ODD_VALUES), random)


def yaml_key(content: bytes, random: Random) -> bytes:
    """Replace one key by an odd one."""
    return _replace_one(rb"\w+(?=:)", content, random.choice(ODD_KEYS), random)


def text_lines(content: bytes, random: Random) -> bytes:
    """Delete, double, move or indent one line."""
    lines = content.split(b"\n")
    line = lines.pop(random.randrange(len(lines)))
    found = random.choice(([], [line, line], [b"  " + line], [line.lstrip()], [line]))
    place = random.randint(0, len(lines))
    return b"\n".join(lines[:place] + found + lines[place:])


def _replace_one(pattern: bytes, content: bytes, text: str, random: Random) -> bytes:
    found = list(re.finditer(pattern, content))
    if not found:
        return content
    chosen = random.choice(found)
    return content[: chosen.start()] + text.encode() + content[chosen.end() :]


def json_value(content: bytes, random: Random) -> bytes:
    """Replace one value of a JSON text, or one key."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        return change_bytes(content, random)
    places = list(_places(whole))
    if not places:
        return content
    table, place = random.choice(places)
    if isinstance(table, dict) and random.random() < 0.2:
        table[str(random.choice(VALUES))] = table.pop(place)
    elif random.random() < 0.2:
        table[place] = json.loads(json.dumps(random.choice(places)[0]))  # another part of the text
    else:
        table[place] = random.choice(VALUES)
    return json.dumps(whole).encode()


def json_line(content: bytes, random: Random) -> bytes:
    """The same for one line of JSON lines."""
    lines = content.split(b"\n")
    place = random.randrange(len(lines))
    lines[place] = json_value(lines[place], random)
    return b"\n".join(lines)


def _places(part: Any) -> Iterator[tuple[Any, Any]]:
    """Every table and list, with every key or index in it."""
    for place in list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
        yield part, place
        yield from _places(part[place])


def member(content: bytes, random: Random) -> bytes:
    """Change one member of an archive by its suffix, rename it, or delete it."""
    try:
        members = unpacked(content)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError):  # changed before
        return change_bytes(content, random)
    texts = [name for name in members if name.endswith((".json", ".yaml"))]
    name = random.choice([*texts * 3, *members])
    old, what = members.pop(name), random.random()
    if what < 0.05:
        members[random.choice([f"../{CANARY}", f"/{CANARY}", "x", name.upper(), *members])] = old
    elif what > 0.1:
        fit = {".json": [json_value], ".yaml": [yaml_value, yaml_key]}.get("." + name.rpartition(".")[2], [])
        members[name] = random.choice([*fit * 6, *BYTES])(old, random)
    return packed(members)


def unpacked(content: bytes) -> dict[str, bytes]:
    """The members of an archive."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: dict[str, bytes]) -> bytes:
    """An archive of these members, uncompressed."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()
