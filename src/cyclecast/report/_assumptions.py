"""Assumptions of a placement, shown in a report; numbers and texts are those of `docs/assumptions/`."""

from __future__ import annotations

PLACEMENT: tuple[tuple[str, str], ...] = (
    (
        "A37",
        "Every operator of the network has arrays of its own, and operators on the host take no time between "
        "operators on arrays.",
    ),
    (
        "A38",
        "Scales of activations are known before the network runs.",
    ),
    (
        "A39",
        "The pixels of an operator follow each other in raster order, its replicas take turns, pixel by pixel, "
        "and a step begins when the last pixel that its window needs has arrived.",
    ),
    (
        "A40",
        "Arrays are dealt to the operators in the order of the program: in blocks of what a mapping has in one "
        "PE, one after another, or in blocks to the PEs whose ports are least busy, whichever has the shorter "
        "period.",
    ),
    (
        "A41",
        "Every result crosses the network once to each operator that needs it, over the mean distance of the "
        "arrays, and all links are equally busy.",
    ),
    (
        "A42",
        "What waits for an operator lies in the buffers of its PEs, or in buffers of other PEs, which all "
        "operators share.",
    ),
    (
        "A43",
        "A segment is written at once, so many arrays at a time as the device can, each as long as the slowest, "
        "and what passes from one segment to the next waits in a memory that costs nothing.",
    ),
    (
        "A44",
        "A product of two computed operands in arrays has one of them written for every image, and then waits for "
        "the other one as any operator does.",
    ),
    (
        "A45",
        "The energy of an image in a placement is that of its events, and the power of components without events "
        "in all instances with an array in use for one interval.",
    ),
    (
        "A46",
        "Cells wear out by writing alone, all cells of an array alike; the most written array counts.",
    ),
    (
        "A48",
        "The units in the instances that hold results of one row tile share the digital operators behind a product "
        "evenly, beside its arrays, and operators that share a PE share its units.",
    ),
)
