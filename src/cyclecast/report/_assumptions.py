"""Assumptions of a placement, shown in a report; numbers and texts are those of `docs/assumptions.md`."""

from __future__ import annotations

PLACEMENT: tuple[tuple[str, str], ...] = (
    (
        "A37",
        "Every operator of the network has arrays of its own, also where several have the same weights, as "
        "the steps of a recurrent layer do. Operators on the host take no time between operators on arrays; "
        "the host is one more stage, by its roofline, in the times that are said to be with the host.",
    ),
    (
        "A38",
        "Scales of activations are known before the network runs; with those that are computed when it runs, "
        "every operator would wait for all of its input.",
    ),
    (
        "A39",
        "The pixels of an operator follow each other in raster order, and its replicas take turns, pixel by "
        "pixel. A step begins when the last pixel that its window needs has arrived.",
    ),
    (
        "A40",
        "Arrays are dealt to the operators in the order of the program: in blocks of what a mapping has in one "
        "PE, one after another, or in blocks to the PEs whose ports are least busy. The way with the shortest "
        "period is taken. Who shares a PE shares its port: the port is busy in proportion to the arrays of each "
        "operator there.",
    ),
    (
        "A41",
        "Every result crosses the network once to each operator that needs it, over the mean distance of the "
        "arrays, and all links are equally busy. A way to another chip leads over the first router of each.",
    ),
    (
        "A42",
        "What waits for an operator lies in the buffers of its PEs; what these do not hold lies in buffers of "
        "other PEs, and crosses the network once more over the mean distance, (rows + columns) / 3. All buffers "
        "are shared: everybody has what it keeps and an equal part of the rest. Of each source its own results "
        "are kept, or what the operator takes in where that is less (pooling). Plans count on three quarters of "
        "all buffers: the period is long enough for that. The event simulation gives each source its part of the "
        "room, at least its window and a step, and waits for it. Where that takes 5 % longer than the closed "
        "form, or for ever, rooms are what waits in a simulation without limits in which images enter at the "
        "period, or less often, so far as all buffers hold that.",
    ),
    (
        "A43",
        "A segment is written at once, so many arrays at a time as the device can, each as long as the "
        "slowest. What passes from one segment to the next waits in a memory that costs nothing.",
    ),
    (
        "A44",
        "A product of two computed operands in arrays has one of them written for every image, and then waits "
        "for the other one as any operator does. All of these share the device's writing.",
    ),
    (
        "A45",
        "The energy of an image: events of all operators; power of the components without events in all "
        "instances with an array in use, for one interval; that of the device itself as well. The host takes "
        "none.",
    ),
    (
        "A46",
        "Cells wear out by writing alone, all cells of an array alike; the most written array counts.",
    ),
)
