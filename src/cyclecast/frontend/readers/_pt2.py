"""Archives of `torch.export`, checked as data and copied before PyTorch opens them.

PyTorch warns that its loader must not open untrusted files: it unpickles, puts names into the source of functions,
evaluates guards and expressions, and looks up attributes by name. So only members of known names are copied, pickles
(sample inputs, which are not needed) are left empty, and the program is rebuilt from known fields (`_pt2_program.py`).
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from cyclecast.errors import ModelError
from cyclecast.frontend.readers._pt2_program import FieldError, config_of, program_as_data

LEVER = "torch.export.save(torch.export.export(module, inputs), 'network.pt2')"
KNOWN = re.compile(
    r"[^/]+/(data/(weights/(weight_\d+|\w+_config\.json)|constants/(tensor_\d+|\w+_config\.json)|sample_inputs/\w+\.pt)"
    r"|models/\w+\.json|archive_format|archive_version|byteorder|\.data/\w+)"
)
"""Names of the members of an archive that holds one program and no custom objects."""
TENSOR = re.compile(r"/(weight|tensor)_\d+$")
MOST_JSON = 64 << 20
"""Most bytes of one JSON member."""


def opened(source: Path) -> BytesIO:
    """A copy of the archive with its tensors and the known fields of its program only.

    Outputs in classes that PyTorch does not know (for example of transformers) become dictionaries. Raises `ModelError`
    if the archive is compressed or holds anything else.
    """
    copy = BytesIO()
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as target:
        for member in archive.infolist():
            name = f"{source}: {member.filename}"
            if member.compress_type != zipfile.ZIP_STORED:
                raise ModelError(name, "it is compressed", "torch.export stores", LEVER)
            if not KNOWN.fullmatch(member.filename):
                raise ModelError(name, "an unknown member", "it may run code", LEVER)
            content = archive.read(member)
            if member.filename.endswith("_config.json"):
                content = _rebuilt(content, config_of, name)
            elif member.filename.endswith(".json"):
                content = _rebuilt(content, program_as_data, name)
            elif member.filename.endswith(".pt"):
                content = b""  # PyTorch would unpickle it, and retry with fewer checks after a failure
            elif member.filename.endswith("/byteorder") and content != b"little":
                raise ModelError(name, f"{ascii(content)[1:][:20]}", "tensors are in the order 'little'", LEVER)
            elif TENSOR.search(member.filename) and not content:
                raise ModelError(name, "it is empty", "PyTorch would take zeros for it", LEVER)
            target.writestr(member.filename, content)
    copy.seek(0)
    return copy


def _rebuilt(content: bytes, rebuild: Callable[[Any], Any], name: str) -> bytes:
    if len(content) > MOST_JSON:
        raise ModelError(name, f"{len(content):,} bytes", f"{MOST_JSON:,} at most", LEVER)
    try:
        return json.dumps(rebuild(json.loads(content))).encode()
    except FieldError as error:
        raise ModelError(f"{name}: {error.field}", error.reason, "it may run code", LEVER) from None
    except (ValueError, RecursionError) as error:
        raise ModelError(name, f"no JSON of a program ({type(error).__name__})", "it is cut off", LEVER) from None
