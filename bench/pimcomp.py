"""Replication plans of PIMCOMP against ours, on the same arrays and under one evaluator.

`python bench/pimcomp.py PLANS.json` takes plans as `{"plans": [{"network", "plan", "chips", "replicas"}, ...]}`. For
each product of a 16-bit network, in the order of the program, they say the replicas that PIMCOMP (Sun et al., DAC 2023)
chose. Each plan is placed as it is; then `place` gets as many arrays as the plan takes, once for the interval and once
for the latency. The exit code is 1 where a plan of PIMCOMP is better.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from cyclecast.device import Device
from cyclecast.mapspace import default_mapping
from cyclecast.network import Network
from cyclecast.placement import place
from pimcomp_networks import NETWORKS


def compared(network: Network, device: Device, plan: dict[str, Any]) -> dict[str, int]:
    """Interval and latency [fs] of the plan, and ours with as many arrays."""
    mappings = {member.kernel: default_mapping(member.workload, device) for member in network.members}
    theirs = place(network, device, mappings, chips=plan["chips"], replicas=plan["replicas"])
    found = {"arrays": theirs.arrays}
    for objective in ("interval", "latency"):
        ours = place(network, device, mappings, chips=plan["chips"], arrays=theirs.arrays, objective=objective)
        found |= {f"their_{objective}": getattr(theirs, objective).femtoseconds}
        found |= {f"our_{objective}": getattr(ours, objective).femtoseconds}
    return found


def main() -> None:
    """Every plan of the file."""
    plans, device, worse = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["plans"], Device.load("isaac16"), 0
    console = Console(width=160)
    for plan in plans:
        found = compared(NETWORKS[plan["network"]](), device, plan)
        times = [found[f"{who}_{what}"] / 1e9 for what in ("interval", "latency") for who in ("their", "our")]
        worse += times[1] > times[0] or times[3] > times[2]
        console.print(
            f"{plan['network']:10} {plan['plan']:20} {found['arrays']:6,} arrays: interval {times[0]:.2f} us, "
            f"ours {times[1]:.2f}; latency {times[2]:.2f} us, ours {times[3]:.2f}"
        )
    console.print(f"{worse} of {len(plans)} plans better than ours in something")
    sys.exit(bool(worse))


if __name__ == "__main__":
    main()
