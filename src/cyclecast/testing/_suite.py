"""The base of all suites."""

from __future__ import annotations

from typing import Any, ClassVar


class Suite:
    """Tests of one object. Subclass it in a test file and create the object in `subject`; pytest finds the tests."""

    kind: ClassVar[str] = ""
    """Name of the kind of object in messages."""

    def subject(self) -> Any:
        """The object to test."""
        raise NotImplementedError("make the object to test in subject()")
