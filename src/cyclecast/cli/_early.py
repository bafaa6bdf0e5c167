"""Ctrl-C before there is a command to stop. Imports little itself, since it is late for whatever comes before it."""

from __future__ import annotations

import os
import signal

STOPPED = 130
"""The exit code after Ctrl-C."""


class Stoppable:
    """In a `with` block that imports packages: Ctrl-C ends the process at once. Through some no exception may go."""

    _ours = False

    def __enter__(self) -> None:
        try:
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                signal.signal(signal.SIGINT, _end)
                self._ours = True
        except ValueError:  # another thread than the main one, which has no signals
            pass

    def __exit__(self, *error: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: object) -> None:
    os.write(2, b"stopped\n")
    os._exit(STOPPED)
