"""Figures that follow from a device file alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cyclecast.device import Device, Doubt, doubts
from cyclecast.energy import area, peak, power


def device_info(device: Device, doubted: Sequence[Doubt] | None = None) -> dict[str, Any]:
    """Values of `device check`, documented in `docs/json.md`; `doubted` replaces the device's own doubts."""
    array, rate, drawn = device.array, float(peak(device).operations_per_second), power(device)
    watts = drawn.total.watts if drawn.shares else None
    return {
        "name": device.name,
        "digest": device.digest,
        "arrays": device.arrays,
        "slices": device.slices,
        "input_steps": device.input_steps,
        "filters_per_array": device.filters_per_array,
        "adc_bits": None if array.digital else array.adc_bits,
        "lossless_adc_bits": None if array.digital else array.lossless_adc_bits,
        "exact": array.is_exact,
        "peak_tops": rate / 1e12,
        "watts": watts,
        "tops_per_watt": rate / 1e12 / watts if watts else None,
        "square_millimetres": area(device).total.square_millimetres if drawn.shares else None,
        "doubts": [str(doubt) for doubt in (doubts(device) if doubted is None else doubted)],
    }


def device_text(info: dict[str, Any]) -> str:
    """The values in two lines, and one line per doubt."""
    lossless = info["lossless_adc_bits"]
    exact = "sums are exact" if info["exact"] else f"sums saturate, exact ones need {lossless} bits"
    sums = f"{info['adc_bits']}-bit ADCs ({exact})" if lossless else "digital sums (exact)"
    peak = f"peak {info['peak_tops']:,.4g} TOPS"
    if info["watts"]:
        peak += f", {info['tops_per_watt']:,.4g} TOPS/W"
    if info["watts"] is not None:
        peak += f", {info['watts']:,.4g} W, {info['square_millimetres']:,.4g} mm2"
    doubted = "".join(f"\ndoubt: {doubt}" for doubt in info["doubts"])
    verdict = "possible, but doubtful" if doubted else "fine"
    return (
        f"{info['name']} is {verdict}: {info['arrays']:,} arrays, {info['slices']} slices a weight, "
        f"{info['filters_per_array']} filters an array, {info['input_steps']} input steps, {sums}\n"
        f"{peak if info['watts'] is not None else peak + '; power and area are not stated'}"
        f"{doubted}"
    )
