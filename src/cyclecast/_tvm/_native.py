"""Keep what native code prints out of the user's terminal."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_native_chatter() -> Iterator[None]:
    """Inside, what is written to file descriptor 2 is dropped; an error tells what there is to tell."""
    saved = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
