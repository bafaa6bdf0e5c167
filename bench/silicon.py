"""Draw docs/silicon.svg: the model against chips that exist, one dot for each number of tests/published/silicon.yaml.

`python bench/silicon.py` computes every modelled number and writes the picture; a test holds that it is up to date.
"""

from __future__ import annotations

import sys
from html import escape
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from silicon import Measured, measured

PICTURE = Path(__file__).parent.parent / "docs" / "silicon.svg"
COLOURS = {"predicted": "#0b6e4f", "fitted": "#1f5fa8", "calibrated": "#8a94a3"}
MEANING = {
    "predicted": "predicted: the constants of the device file come from other numbers",
    "fitted": "fitted: three constants were fitted to these ten points, so they test the law",
    "calibrated": "calibrated: a constant was set by this number, so it tests the bookkeeping alone",
}
ROW, TOP, LEFT, SCALE, FROM, TO = 21, 138, 300, 17, -5, 20
PUBLISHED, MODELLED, ERROR, WIDTH = 825, 905, 985, 1000


def x_of(percent: float) -> float:
    return LEFT + (percent - FROM) * SCALE


def text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text{f" class={kind!r}" if kind else ""} x="{x:g}" y="{y:g}">{escape(words)}</text>'.replace("'", '"')


def dot(basis: str, x: float, y: float) -> str:
    """A mark that also differs without colours: a disc, a square or a ring."""
    if basis == "fitted":
        return f'<rect x="{x - 5:.1f}" y="{y - 5:g}" width="10" height="10" fill="{COLOURS[basis]}"/>'
    fill = "#fff" if basis == "calibrated" else COLOURS[basis]
    return f'<circle cx="{x:.1f}" cy="{y:g}" r="5" fill="{fill}" stroke="{COLOURS[basis]}" stroke-width="2"/>'


def row(point: Measured, y: float) -> list[str]:
    """A line of the picture: what was measured, a dot at the error, both numbers."""
    colour, x = COLOURS[point.basis], x_of(100 * point.error)
    return [
        text(LEFT - 12, y + 5, point.label, "end"),
        f'<path d="M{x_of(0):g} {y:g}H{x:.1f}" stroke="{colour}" stroke-width="3"/>',
        dot(point.basis, x, y),
        text(PUBLISHED, y + 5, f"{point.published:.4g}", "end"),
        text(MODELLED, y + 5, f"{point.modelled:.4g}", "end"),
        text(ERROR, y + 5, f"{100 * point.error:+.2f} %", "end"),
    ]


def legend() -> list[str]:
    parts = []
    for y, (basis, meaning) in zip((48, 68, 88), MEANING.items(), strict=True):
        parts += [dot(basis, 20, y), text(34, y + 5, meaning)]
    return parts


def picture() -> str:
    """The whole picture, as SVG."""
    parts, y = [text(14, 22, "Modelled against published: how far the model is from silicon", "title"), *legend()], TOP
    for (chip, what), points in groupby(measured(), lambda point: (point.chip, point.what)):
        rows = list(points)
        parts.append(text(14, y + 5, f"{chip}: {what}", "head"))
        parts.append(text(PUBLISHED, y + 5, rows[0].unit, "end small"))
        y += ROW
        for point in rows:
            parts += row(point, y)
            y += ROW
        y += ROW // 2
    bottom = y - ROW
    axis = []
    for percent in range(FROM, TO + 1, 5):
        x = x_of(percent)
        axis.append(f'<path d="M{x:g} {TOP - 12}V{bottom}" stroke="{"#44546a" if percent == 0 else "#d8dee6"}"/>')
        axis.append(text(x, bottom + 18, f"{percent:+d} %" if percent else "0", "mid"))
    columns = ((PUBLISHED, "published"), (MODELLED, "modelled"), (ERROR, "error"))
    axis += [text(x, TOP - 18, name, "end small") for x, name in columns]
    cites = list(dict.fromkeys(point.cites for point in measured()))
    notes = [text(14, bottom + 44 + 17 * number, cited, "small") for number, cited in enumerate(cites)]
    height = bottom + 44 + 17 * len(cites)
    style = (
        "text{fill:#1b2430}.title{font-size:17px;font-weight:600}.head{font-weight:600;paint-order:stroke;stroke:#fff;stroke-width:6px}.end{text-anchor:end}"
        ".mid{text-anchor:middle;font-size:12px}.small{font-size:12px;fill:#55606e}"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-size="14" role="img" '
            'font-family="system-ui, Helvetica, Arial, sans-serif" aria-label="Modelled against published numbers">',
            f'<style>{style}</style><rect width="{WIDTH}" height="{height}" fill="#fff"/>',
            *axis,
            *parts,
            *notes,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
