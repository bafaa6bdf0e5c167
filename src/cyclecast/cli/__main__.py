"""`python -m cyclecast.cli`: the same as the `cyclecast` command."""

from __future__ import annotations

from cyclecast.cli import main

main()
