"""The command line: one verb per public function. Only its files print.

Every verb takes `--json` (`device schema` prints JSON anyway) and then prints exactly one JSON object to standard
output (`docs/json.md`). A mistake of the user ends in one message and exit code 2, never in a traceback (`_door.py`).
"""

from __future__ import annotations

import atexit
import signal
import sys

from cyclecast.cli._early import STOPPED, Stoppable

with Stoppable():
    from cyclecast.cli import _code, _device, _devkit, _network, _placement  # noqa: F401 - they add their verbs to the program
    from cyclecast.cli._common import app
    from cyclecast.cli._door import DEBUG, FAULT, leave, tell_fault, tell_traceback

__all__ = ["app", "main"]


OBJECTS = 100_000
"""New objects between two collections of garbage: 700, Python's default, costs `tune` a tenth of its time."""


def main() -> None:
    """Entry point of the `cyclecast` command; a fault of cyclecast is reported in one line, too, with exit code 1."""
    import gc  # here, since nothing may be imported before Ctrl-C is answered

    gc.set_threshold(OBJECTS)
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # at exit, nothing is left to stop
    try:
        app()
    except KeyboardInterrupt:
        leave(STOPPED)
    except SystemExit as end:
        if end.code == STOPPED:
            leave(STOPPED)
        raise
    except Exception as error:
        if DEBUG in sys.argv:
            tell_traceback(error)
        tell_fault(error)
        sys.exit(FAULT)
