"""Ctrl-C during the import of packages. This module imports little, because it runs first."""

from __future__ import annotations

import os
import signal

STOPPED = 130
"""Exit code after Ctrl-C."""


class Stoppable:
    """Context for imports: Ctrl-C ends the process at once, because some packages cannot pass an exception on."""

    _ours = False

    def __enter__(self) -> None:
        try:
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                signal.signal(signal.SIGINT, _end)
                self._ours = True
        except ValueError:  # only the main thread has signals
            pass

    def __exit__(self, *error: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: object) -> None:
    os.write(2, b"stopped\n")
    os._exit(STOPPED)
