"""A mapping in one line."""

from __future__ import annotations

from cyclecast.mapping import MARKS as MARKS
from cyclecast.mapping import mapping_text as mapping_text
