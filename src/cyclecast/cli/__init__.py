"""The command line: one verb for each public function. The only files that print.

Every verb takes `--json` (`device schema` prints JSON anyway) and then prints one JSON object to standard output and
nothing else there (`docs/json.md`).
A mistake of the user's ends in one message and exit code 2, never in a traceback.
"""

from __future__ import annotations

from cyclecast.cli import _code, _device, _network, _placement  # noqa: F401 - they add their verbs to the program
from cyclecast.cli._common import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of the `cyclecast` command."""
    app()
