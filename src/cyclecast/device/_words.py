"""Words in device files that are not fields, and the advice for each: another field, or a reason why it is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import NamedTuple

SHOWN = 40
"""Most characters of a refused value in a message."""
SURE = 0.85
"""Similarity to a field above which a word of `NOT_MODELLED` counts as a misspelling of the field."""


class Advice(NamedTuple):
    """The parts of a message about a key that is not a field."""

    demand: str
    bound: str
    lever: str
    meant: str = ""
    """The field that was probably meant; "" if unknown."""


ELSEWHERE: Mapping[str, str] = {
    "adc_area": "components",
    "adc_count": "adcs",
    "adc_energy": "components",
    "adc_frequency": "adc_rate",
    "adc_latency": "adc_rate",
    "adc_power": "components",
    "adc_precision": "adc_bits",
    "adc_resolution": "adc_bits",
    "array_size": "array.rows and array.cols",
    "arrays_per_tile": "levels, each with its count",
    "bandwidth": "input_bandwidth and output_bandwidth",
    "bits_per_cell": "cell_bits",
    "cell_precision": "cell_bits",
    "cell_area": "components",
    "clock": "read, the time of one cycle",
    "clock_frequency": "read, the time of one cycle",
    "columns": "cols",
    "columns_per_adc": "adcs, the converters of one array",
    "crossbar": "array",
    "crossbar_size": "array.rows and array.cols",
    "cycle": "read, the time of one cycle",
    "dac_precision": "dac_bits",
    "dac_resolution": "dac_bits",
    "energy": "components, each with its event and energy",
    "frequency": "read, the time of one cycle",
    "input_bits": "bits.activation",
    "input_precision": "bits.activation",
    "interconnect": "network",
    "latency": "read, the time of one cycle",
    "macro": "array",
    "memory": "buffer, of a level",
    "mesh": "network",
    "mux": "adcs, the converters of one array",
    "noc": "network",
    "num_adc": "adcs",
    "num_cols": "cols",
    "num_col_mux": "adcs, the converters of one array",
    "num_columns": "cols",
    "num_pe": "levels, each with its count",
    "num_rows": "rows",
    "num_tiles": "levels, each with its count",
    "parallel_rows": "active_rows",
    "precision": "bits",
    "pulse_width": "write.pulse",
    "read_latency": "read, the time of one cycle",
    "read_pulse": "read, the time of one cycle",
    "read_time": "read, the time of one cycle",
    "reference": "cites",
    "source": "cites",
    "sram_size": "buffer, of a level",
    "tiles": "levels, each with its count",
    "version": "format",
    "weight_bits": "bits.weight",
    "weight_precision": "bits.weight",
    "write_latency": "write.pulse",
    "write_pulse": "write.pulse",
}
"""Words of other tools, and the field or fields that have their meaning here."""

VALUES = "the behaviour model computes with ideal cells and converters"
NUMBERS = "times, energies and areas are written as numbers, those of your technology"
NOT_MODELLED: Mapping[str, str] = {
    "aging": "cells wear out by writing alone (write.endurance)",
    "attributes": "this is no Timeloop file; a component says name, count, power, area, event and energy",
    "batch": "it is an option of a placement",
    "capacitance": NUMBERS,
    "conductance": f"{VALUES}; cell_bits says how many levels a cell has",
    "constraints": "this is no Timeloop file; the search finds mappings",
    "cost": "reports give time, energy and area",
    "current": NUMBERS,
    "dnl": VALUES,
    "drift": VALUES,
    "dropout": VALUES,
    "dvfs": "a device has one operating point; write a file for each",
    "error": VALUES,
    "fault": VALUES,
    "faults": VALUES,
    "gmax": f"{VALUES}; cell_bits says how many levels a cell has",
    "gmin": f"{VALUES}; cell_bits says how many levels a cell has",
    "inl": VALUES,
    "ir": VALUES,
    "latency": "times of reads, conversions and transfers are fields of their own",
    "leakage": "a component draws its power while its instance is in use, and none before",
    "linearity": VALUES,
    "material": NUMBERS,
    "mismatch": VALUES,
    "node": NUMBERS,
    "noise": VALUES,
    "nonlinearity": VALUES,
    "offset": VALUES,
    "process": NUMBERS,
    "quantization": "a network is quantised when it is loaded; bits say to what",
    "resistance": VALUES,
    "retention": VALUES,
    "roff": VALUES,
    "ron": VALUES,
    "sigma": VALUES,
    "snr": VALUES,
    "sparsity": "time and energy do not depend on values",
    "static": "a component draws its power while its instance is in use, and none before",
    "stuck": VALUES,
    "subtree": "this is no Timeloop file; levels are a list, outermost first",
    "tech": NUMBERS,
    "technology": NUMBERS,
    "temperature": VALUES,
    "tolerance": VALUES,
    "v": NUMBERS,
    "variability": VALUES,
    "variance": VALUES,
    "variation": VALUES,
    "vdd": NUMBERS,
    "voltage": NUMBERS,
    "wire": NUMBERS,
    "yield": VALUES,
}
"""Parts of words (between underscores) for effects that no field describes, and the reason."""


def suggest(name: str, known: Iterable[str]) -> str:
    """The lever for a misspelt name: the most similar known name, or "one of these"."""
    near = nearest(name, known)
    return f"'{near}'" if near else "one of these"


def nearest(name: str, known: Iterable[str], similarity: float = 0.6) -> str:
    """The most similar known name; "" if none is similar."""
    close = get_close_matches(name[:SHOWN], sorted(known), n=1, cutoff=similarity)
    return close[0] if close else ""


def advise(key: str, fields: Iterable[str]) -> Advice:
    """The advice for an unknown key: the most similar field, a field elsewhere, or "not modelled"."""
    fields = tuple(fields)
    word = key[:SHOWN].lower().replace("-", "_").replace(" ", "_")
    parts = {*word.split("_"), word.replace("_", "")}
    if word in ELSEWHERE and word not in fields:
        said = ELSEWHERE[word]
        return Advice("no such field", "another field has this meaning", said, said.partition(",")[0])
    word_of_the_field = next((known for known in NOT_MODELLED if known in parts), "")
    near = nearest(word, fields, SURE if word_of_the_field else 0.6)
    if word_of_the_field and not near:
        return Advice("not modelled", NOT_MODELLED[word_of_the_field], "leaving it out, or noting it as a comment")
    return Advice("no such field", f"there are {', '.join(fields)}", f"'{near}'" if near else "one of these", near)
