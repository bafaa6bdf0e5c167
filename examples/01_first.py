"""First steps: load a network, tune it for a device, look at the result, run the program."""

from __future__ import annotations

import cyclecast as cc
from text_direction import INPUT, SHAPE, line_of_text, model_file


def main() -> None:
    device = cc.Device.load("isaac")
    network = cc.load(model_file(), device, shapes={INPUT: SHAPE})
    guess = cc.estimate(network, device)
    tuned = cc.tune(network, device)
    print(f"{network.name}: {guess.total} without search, {tuned.total} tuned")
    slowest = max(tuned.workloads, key=lambda entry: entry.timing.total)
    print(f"slowest: {slowest.member.workload.name}, {slowest.timing.cycles} cycles, {slowest.timing.bound} bound")
    program = cc.compile(tuned)
    for upside_down in (False, True):
        (scores,) = program(line_of_text(upside_down=upside_down))
        print(f"upside down: {upside_down}, the network says {scores[0].argmax() == 1} ({scores[0].max():.0%})")


if __name__ == "__main__":
    main()
