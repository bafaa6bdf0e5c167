"""Archives of `torch.export` with one field or some bytes changed: an answer or one line, and nothing runs."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cyclecast.errors import CyclecastError
from cyclecast.frontend import load

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

pytestmark = [pytest.mark.tvm, pytest.mark.filterwarnings("ignore::FutureWarning:copyreg")]

CANARY = "ran"
VALUES: list[Any] = [
    0, -1, 1 << 31, 1 << 63, 1 << 200, 1.5, 1e308, float("nan"), None, True, [], {}, [[]], "", "x", "s0", "a.b",
    "9" * 5000,
    "torch.ops.aten.relu.default", "torch.ops.aten.from_file.default", "torch.load", "_operator.add", "builtins.eval",
    f"__import__('os').mkdir('{CANARY}')", f"x=__import__('os').mkdir('{CANARY}')", f"Mul(9, mkdir('{CANARY}'))",
    "Mul(" * 500 + "9" + ")" * 500, f"a;__import__('os').mkdir('{CANARY}')#", "\u202e\x1b[31m", "/etc/passwd",
]  # fmt: skip


class Small(torch.nn.Module):  # type: ignore[misc, name-defined] # PyTorch may be absent
    """Two layers and a reshape."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(2, 3, 3), torch.nn.Linear(12, 4)

    def forward(self, image: Any) -> Any:
        return self.second(torch.relu(self.first(image)).reshape(-1, 12))


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("small") / "small.pt2"
    torch.export.save(torch.export.export(Small().eval(), (torch.zeros(1, 2, 4, 4),)), path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def spots(part: Any) -> Iterator[tuple[Any, Any]]:
    """Every table or list with every place in it."""
    for place in part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
        yield part, place
        yield from spots(part[place])


def mutant(members: dict[str, bytes], random: Random) -> dict[str, bytes]:
    """One field another, one name of a field another, or some bytes."""
    name = random.choice([name for name in members if name.endswith("model.json")] * 6 + list(members))
    content = members[name]
    if name.endswith(".json"):
        whole = json.loads(content)
        table, place = random.choice(list(spots(whole)))
        if isinstance(table, dict) and random.random() < 0.2:
            table[str(random.choice(VALUES))] = table.pop(place)
        else:
            table[place] = random.choice(VALUES)
        return members | {name: json.dumps(whole).encode()}
    changed = bytearray(content or b"\0")
    for _ in range(random.randint(1, 9)):
        changed[random.randrange(len(changed))] = random.randrange(256)
    return members | {name: bytes(changed)}


def ends_in_one_line(members: dict[str, bytes], seed: int, folder: Path) -> None:
    path = folder / "mutant.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in mutant(members, Random(seed)).items():
            archive.writestr(name, content)
    with suppress(CyclecastError):
        load(path)
    assert [entry.name for entry in folder.iterdir()] == ["mutant.pt2"]


@pytest.mark.parametrize("seed", range(20))
def test_a_mutant_is_read_or_refused(
    seed: int, members: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ends_in_one_line(members, seed, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_hundreds_are(seed: int, members: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(20):
        ends_in_one_line(members, 100 + 20 * seed + number, tmp_path)
